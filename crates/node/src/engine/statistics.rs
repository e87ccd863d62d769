//! Statistics sessions at a bank: all rows of a data set of the contract's day, without labels and without consents, since
//! nothing but sums over several banks leaves.

use tally_data::{Dataset, Values};
use tally_model::Column;
use tally_policy::Cleared;
use tally_protocol::session::{BankData, CappedColumn, Contract, Holder};

use super::sample::capped;
use super::step::Step;
use super::{Engine, book};
use crate::failure::{self, Failure};
use crate::store::{DatasetInfo, SessionRecord};

impl Engine {
    /// A bank's rows, every borrower once.
    pub(super) fn statistics_data(
        &self,
        step: &mut Step,
        record: &SessionRecord,
        terms: &Contract,
        dataset: &Dataset,
    ) -> Result<Cleared<BankData>, Failure> {
        of_the_day(&dataset.name, &dataset.as_of, terms)?;
        self.check_sample(record, terms)?;
        let rows: Vec<_> = (0..dataset.rows()).collect();
        for (column, cap) in
            terms.model.statistics.iter().flat_map(|one| one.amounts().into_iter().map(|c| (c, one.cap)))
        {
            capped(dataset, Some(&CappedColumn { column: column.into(), cap }), &rows, 0.0)?;
        }
        let body = book::own_rows(self.me(), rows.len(), record.data_version.unwrap_or_default());
        step.record(Some(&record.session), self.me(), body);
        let input = serde_json::json!({ "rows": rows.len() });
        self.store.put_result(&record.session, "input", input.to_string().as_bytes())?;
        Ok(Cleared::own(BankData {
            identifiers: dataset.identifiers.clone(),
            label: vec![0; rows.len()],
            columns: terms
                .fields_of(Holder::Banks)
                .map(|field| column(dataset, &field.name))
                .collect::<Result<_, _>>()?,
            holdout: vec![false; rows.len()],
            weight: Vec::new(),
            offset: Vec::new(),
        }))
    }

    /// Over one version of the data, sums with other cells or over other rows would show the rows between them.
    pub(super) fn check_cells(&self, session: &str, terms: &Contract, other: &Contract) -> Result<(), Failure> {
        if terms.noise.is_some() || terms.same_cells(other) {
            return Ok(());
        }
        Err(failure::refused(format!(
            "session {session} summed other rows or other cells of the same data: the difference would show the rows between \
             them; propose the same statistics, import newer data, or agree on noise"
        )))
    }
}

/// Refuses a data set of another day than the statistics'.
pub(super) fn of_the_day(name: &str, as_of: &str, terms: &Contract) -> Result<(), Failure> {
    match &terms.model.statistics {
        Some(statistics) if statistics.as_of.to_string() != as_of => Err(failure::refused(format!(
            "data set `{name}` is of {as_of}, the statistics are of {}: import the data of that day",
            statistics.as_of
        ))),
        _ => Ok(()),
    }
}

/// The one data set that has the contract's fields and day.
pub(super) fn fitting_one(datasets: Vec<DatasetInfo>, terms: &Contract) -> Result<DatasetInfo, Failure> {
    let fits = |info: &DatasetInfo| {
        of_the_day(&info.name, &info.as_of, terms).is_ok()
            && terms.fields_of(Holder::Banks).all(|field| {
                info.dictionary.field(&field.name).is_some_and(|known| known.kind.values() == field.categories)
            })
    };
    let mut fitting: Vec<_> = datasets.into_iter().filter(fits).collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(info), true) => Ok(info),
        (Some(_), false) => Err(failure::usage("several data sets fit the statistics: choose with --dataset")),
        (None, _) => {
            let day = terms.snapshot.as_of;
            let fields: Vec<_> = terms.fields_of(Holder::Banks).map(|field| field.name.as_str()).collect();
            Err(failure::data(format!(
                "there is no data set of {day} with the fields {}: import it with `tallystick dataset import`",
                fields.join(", ")
            )))
        }
    }
}

fn column(dataset: &Dataset, name: &str) -> Result<Column, Failure> {
    match dataset.column(name) {
        Some(Values::Numeric(values)) => Ok(Column::Values(values.clone())),
        Some(Values::Category { codes, .. }) => Ok(Column::Codes(codes.clone())),
        None => Err(failure::data(format!("data set `{}` has no field `{name}`", dataset.name))),
    }
}
