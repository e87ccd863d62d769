//! What travels under a row key, and how a bank's own rows meet it.

use tally_model::{Column, Table};

use super::BankData;

/// Most rows in one message.
pub(super) const ROWS_PER_MESSAGE: usize = 8192;

/// The bin codes of one row, two bytes each, so that every row of a session has the same length.
pub(super) fn encode_codes(codes: impl Iterator<Item = u16>) -> Vec<u8> {
    codes.flat_map(u16::to_le_bytes).collect()
}

/// The bin codes of one row, each at most the number of bins that was announced; `None` for a row that is not of this form.
///
/// Only who holds the row can tell, so nobody may see that it did: such a row is missing, as one that does not open.
pub(super) fn decode_codes(payload: &[u8], bins: &[u16]) -> Option<Vec<u16>> {
    let codes: Vec<_> = payload.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let sound = payload.len() == bins.len() * 2 && codes.iter().zip(bins).all(|(code, bins)| code <= bins);
    sound.then_some(codes)
}

/// The bank's table: its own columns, then the platform's codes, for the rows that opened.
pub(super) fn join(data: &BankData, opened: &[(usize, Vec<u16>)], fields: usize) -> Table {
    let own = data.columns.iter().map(|column| match column {
        Column::Values(values) => Column::Values(opened.iter().map(|(row, _)| values[*row]).collect()),
        Column::Codes(codes) => Column::Codes(opened.iter().map(|(row, _)| codes[*row]).collect()),
    });
    let offered = (0..fields).map(|field| Column::Codes(opened.iter().map(|(_, codes)| codes[field]).collect()));
    Table {
        columns: own.chain(offered).collect(),
        label: opened.iter().map(|(row, _)| data.label[*row]).collect(),
        holdout: opened.iter().map(|(row, _)| data.holdout[*row]).collect(),
        hashes: opened.iter().map(|(row, _)| tally_model::boosted::row_hash(&data.identifiers[*row])).collect(),
        weight: opened.iter().filter_map(|(row, _)| data.weight.get(*row).copied()).collect(),
        offset: opened.iter().filter_map(|(row, _)| data.offset.get(*row).copied()).collect(),
        baseline: Vec::new(),
    }
}

/// The table of a statistics session: all rows as they are, none held out.
pub(super) fn every_row(data: &BankData) -> Table {
    let rows: Vec<_> = (0..data.identifiers.len()).map(|row| (row, Vec::new())).collect();
    Table { holdout: vec![false; rows.len()], ..join(data, &rows, 0) }
}
