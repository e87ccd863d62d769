//! How the CSV files of a verb are written.

use tally_data::{CsvForm, Encoding};

/// Flags of every verb that reads CSV; of no matter for Parquet.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct CsvArguments {
    /// CSV: how its characters are written.
    #[arg(long, value_enum, default_value = "utf-8")]
    encoding: EncodingName,
    /// CSV: what stands between two values: one character, or `tab`.
    #[arg(long, default_value = ",", value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: u8,
}

/// Encodings by the names of the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum EncodingName {
    /// UTF-8, with or without a byte order mark.
    #[value(name = "utf-8", alias = "utf8")]
    Utf8,
    /// GB 18030, with GBK and GB 2312 in it.
    #[value(alias = "gbk", alias = "gb2312")]
    Gb18030,
}

impl CsvArguments {
    /// The same for the reader.
    pub(crate) fn form(self) -> CsvForm {
        let encoding = match self.encoding {
            EncodingName::Utf8 => Encoding::Utf8,
            EncodingName::Gb18030 => Encoding::Gb18030,
        };
        CsvForm { encoding, delimiter: self.delimiter }
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        [byte]
            if byte.is_ascii()
                && !byte.is_ascii_alphanumeric()
                && !matches!(byte, b'"' | b'\n' | b'\r' | b'.' | b'-') =>
        {
            Ok(*byte)
        }
        _ => Err("one character such as `;` or `|`, or the word `tab`".into()),
    }
}
