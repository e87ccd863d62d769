use std::path::{Path, PathBuf};

use super::*;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn all(path: &Path, form: &CsvForm) -> Result<Vec<(u64, Vec<String>)>, DataError> {
    let table = Table::open(path, form)?;
    let asked: Vec<_> = (0..table.header().len()).collect();
    let mut rows = table.rows(&asked)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next_row()? {
        found.push((row.line, row.all().map(str::to_owned).collect()));
    }
    assert!(rows.next_row().unwrap().is_none(), "the end stays the end");
    Ok(found)
}

fn csv(bytes: &[u8]) -> Result<Vec<(u64, Vec<String>)>, DataError> {
    let (_folder, path) = file("in.csv", bytes);
    all(&path, &CsvForm::default())
}

fn refused(bytes: &[u8]) -> DataError {
    csv(bytes).unwrap_err()
}

#[test]
fn records_are_divided_as_rfc_4180_says() {
    let rows = csv(b"\xef\xbb\xbfid,x\r\na,1\r\n\r\n\"b,\"\"q\"\"\",\"2\"\r\n c ,\n\"\",x").unwrap();
    let expected: [(u64, [&str; 2]); 4] = [(2, ["a", "1"]), (4, ["b,\"q\"", "2"]), (5, [" c ", ""]), (6, ["", "x"])];
    assert_eq!(rows, expected.map(|(line, row)| (line, row.map(str::to_owned).to_vec())));
    // Old Macintosh line ends, and a quote that is a sign of inches.
    assert_eq!(csv(b"id,x\ra,5\"\rb,2\r").unwrap().len(), 2);
    assert_eq!(csv(b"\n\nid\n1\n\n2").unwrap().iter().map(|row| row.0).collect::<Vec<_>>(), [4, 6]);
    // Blanks behind a quoted value are no value.
    assert_eq!(csv(b"id,x\n\"a\"  ,1\n").unwrap()[0].1[0], "a");
}

#[test]
fn a_quote_that_is_not_closed_is_named_by_its_line() {
    for (bytes, row, word) in [
        (&b"id,x,m\na,1,u\nb,2,\"v\nc,3,w\n"[..], 3, "up to line 4"),
        (b"id,x,m\na,1,u\nb,2,\"v\nc,3,w", 3, "before the file ends"),
        (b"id,x,m\na,1,\"u\nb,2,v\nc,3,\"w\"\n", 2, "up to line 3"),
        (b"id,x,m\na,1,\"u\nb,2,v\nc,3,w\"\n", 2, "line"),
        (b"id,x\na,\"1\nb,2\"\n", 2, "closes only on a later line"),
        (b"id,x\na,\"1\"2\n", 2, "goes on"),
    ] {
        let error = refused(bytes);
        assert_eq!(error.row, Some(row), "{error}");
        assert!(error.reason.contains(word) && error.reason.contains("a quote opens here"), "{error}");
    }
    let long = format!("id,m,x\na,\"{}", "z\n".repeat(100));
    assert_eq!(refused(long.as_bytes()).row, Some(2));
}

#[test]
fn a_value_that_nobody_asks_for_may_hold_line_breaks() {
    let (_folder, path) = file("in.csv", b"id,memo,x\na,\"two\nlines, with a comma\nand three\",1\nb,\xff,2\n");
    let mut rows = Table::open(&path, &CsvForm::default()).unwrap().rows(&[0, 2]).unwrap();
    let first = rows.next_row().unwrap().unwrap();
    assert_eq!((first.line, first.cell(0), first.cell(1), first.uneven()), (2, "a", "1", None));
    let second = rows.next_row().unwrap().unwrap();
    assert_eq!((second.line, second.cell(1)), (5, "2"));
    assert!(rows.next_row().unwrap().is_none());
}

#[test]
fn a_workbook_that_was_cut_short_and_a_folder_of_parts_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loans.XLSX");
    std::fs::write(&path, b"PK\x03\x04").unwrap();
    let told = |path: &std::path::Path| Table::open(path, &CsvForm::default()).err().unwrap().to_string();
    assert!(told(&path).contains("Excel workbook"), "{}", told(&path));
    assert!(told(folder.path()).contains("is a directory: give one file"), "{}", told(folder.path()));
}

#[test]
fn the_first_bytes_say_what_a_file_is() {
    let utf16 = "id,x\na,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let marked = [b"\xff\xfe".as_slice(), &utf16].concat();
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"PK\x03\x04....[Content_Types].xml", "Excel workbook"),
        (b"PK\x03\x04....data.csv", "zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"BZh91AY&SY\0\x01", "bzip2"),
        (b"%PDF-1.4\n", "PDF"),
        (b"ARROW1\0\0", "Arrow"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"{\"id\":1}\n", "JSON"),
        (&utf16, "UTF-16"),
        (&marked, "UTF-16"),
        (b"id,x\n\0\x01\x02", "neither CSV nor Parquet"),
        (b"id;x;y\na;1;2\n", "--delimiter ';'"),
        (b"id\tx\na\t1\n", "--delimiter tab"),
        (b"id,\xbf\xcd\xbb\xa7\na,1\n", "--encoding gb18030"),
        (b"id,\xff\xff\na,1\n", "save the file as UTF-8"),
    ] {
        let error = refused(bytes);
        assert!(error.reason.contains(word), "{error}");
    }
    let (_folder, path) = file("in.parquet", b"id,x\na,1\n");
    assert!(all(&path, &CsvForm::default()).unwrap_err().reason.contains(".parquet"));
    // Letters of a magic number at the start of a header.
    assert_eq!(csv(b"ORC,BZh\na,1\n").unwrap().len(), 1);
    assert_eq!(csv(b"id\na\n").unwrap().len(), 1);
}

#[test]
fn other_delimiters_and_gb_18030_are_read_where_they_are_said() {
    let form = CsvForm { encoding: Encoding::Gb18030, delimiter: b';' };
    let text = "id;客户经理\n甲;张三\n乙;李,四\n";
    let (_folder, path) = file("in.csv", &encoding_rs::GB18030.encode(text).0);
    let table = Table::open(&path, &form).unwrap();
    assert_eq!(table.header(), ["id", "客户经理"]);
    assert_eq!(all(&path, &form).unwrap()[1].1, ["乙", "李,四"]);
    let tabs = CsvForm { delimiter: b'\t', ..CsvForm::default() };
    let (_folder, path) = file("in.csv", b"id\tx\na\t1,5\n");
    assert_eq!(all(&path, &tabs).unwrap()[0].1, ["a", "1,5"]);
    // Long enough for several parts, with a character that is none at the end.
    let mut long = "id;x\n".to_owned();
    (0..40_000).for_each(|row| long += &format!("企业{row};值\n"));
    let mut bytes = encoding_rs::GB18030.encode(&long).0.into_owned();
    let (_folder, path) = file("in.csv", &bytes);
    let rows = all(&path, &form).unwrap();
    assert_eq!((rows.len(), rows[39_999].1[0].as_str()), (40_000, "企业39999"));
    bytes.extend(b"\xff\xff;1\n");
    let (_folder, path) = file("in.csv", &bytes);
    let error = all(&path, &form).unwrap_err();
    assert!(error.reason.contains("not GB 18030"), "{error}");
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let error = refused(b"id,x, x \na,1,2\n");
    assert_eq!((error.column.as_deref(), error.row), (Some("x"), Some(1)));
    assert!(error.reason.contains("twice"), "{error}");
    // Columns without a name are none: a delimiter at the end of every line.
    assert_eq!(csv(b"id,,\na,,\n").unwrap().len(), 1);
}

#[test]
fn a_quotation_is_short_and_on_one_line() {
    let long = "9".repeat(300) + "\nnext row";
    let shown = quoted(&long);
    assert!(shown.chars().count() <= 42 && shown.ends_with("…`") && !shown.contains('\n'), "{shown}");
    assert_eq!(quoted("a\nb"), "`a b`");
    let error = refused(format!("{},{}\n1,2\n", "n".repeat(90), "n".repeat(90)).as_bytes()).to_string();
    assert!(!error.contains(&"n".repeat(41)), "{error}");
}

#[test]
fn a_number_written_otherwise_is_answered_with_what_to_write() {
    for (text, word) in [
        ("1,234.5", "write 1234.5 "),
        ("1,234,567", "write 1234567 "),
        ("1 234", "write 1234 "),
        ("1,5", "write 1.5 "),
        ("5.05%", "write 5.05 without"),
        ("5.05％", "write 5.05 without"),
        ("１２３．５", "write 123.5 in half-width"),
        ("123万", "write 1230000"),
        ("1.25 万元", "write 12500"),
        ("0.5亿", "write 50000000"),
        ("-1.5万", "write -15000"),
        ("0.00012345万", "write 1.2345"),
        ("¥1,234.50", "write 1234.50 alone"),
        ("100元", "write 100 alone"),
    ] {
        let reason = number(text).unwrap_err();
        assert!(reason.contains(word), "{text}: {reason}");
        assert!(!reason.contains("empty") && !reason.contains("nothing where"), "{text}: {reason}");
        assert!(nearly_number(text), "{text}");
    }
    for text in ["NULL", "NA", "n/a", "NaN", "\\N", "-", "None"] {
        assert!(number(text).unwrap_err().contains("leave the value empty"), "{text}");
        assert!(stands_for_nothing(text) && !nearly_number(text), "{text}");
    }
    for text in ["inf", "-Infinity", "1e999"] {
        assert!(number(text).unwrap_err().contains("finite"), "{text}");
    }
    assert_eq!([number("1e3"), number("+2.50"), number("-.5")], [Ok(1000.0), Ok(2.5), Ok(-0.5)]);
    assert!(number("").unwrap().is_nan());
    for text in ["abc", "1-2", "万", "1,2,3", "12,34,5"] {
        assert!(number(text).is_err() && !nearly_number(text), "{text}: {:?}", number(text));
    }
}

fn seed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(name)
}

fn texts(rows: Vec<(u64, Vec<String>)>) -> Vec<String> {
    rows.into_iter().map(|(line, row)| format!("{line}: {}", row.join("|"))).collect()
}

#[test]
fn parquet_of_every_codec_is_read() {
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd", "v2"] {
        let rows = texts(all(&seed(&format!("{codec}.parquet")), &CsvForm::default()).unwrap());
        assert_eq!(rows, ["1: a|0|1.5|a", "2: b|1||b", "3: c|0|2.25|a", "4: |1|3|"], "{codec}");
    }
    // The first bytes count, not the name.
    let (_folder, path) = file("in.csv", &std::fs::read(seed("gzip.parquet")).unwrap());
    assert_eq!(all(&path, &CsvForm::default()).unwrap().len(), 4);
}

#[test]
fn values_of_parquet_are_what_their_types_mean() {
    let rows = texts(all(&seed("types.parquet"), &CsvForm::default()).unwrap());
    assert_eq!(
        rows,
        ["1: a|1|1.5|a|1.5|0.1|2026-01-01|1", "2: b|0||b|2|0.2|2026-01-01|2", "3: c|1|-2.25|a|3|0.3|2026-01-01|3"]
    );
}

#[test]
fn what_nobody_asks_for_is_not_looked_at_and_what_is_asked_for_has_a_type() {
    let open = || Table::open(&seed("nested.parquet"), &CsvForm::default()).unwrap();
    assert_eq!(open().header(), ["id", "l", "s", "t"]);
    let mut rows = open().rows(&[0]).unwrap();
    assert_eq!(rows.next_row().unwrap().unwrap().cell(0), "a");
    for (place, name, word) in [(1, "l", "lists"), (2, "s", "nested"), (3, "t", "timestamp")] {
        let error = open().rows(&[0, place]).err().unwrap();
        assert_eq!(error.column.as_deref(), Some(name));
        assert!(error.reason.contains(word), "{error}");
    }
}

#[test]
fn a_broken_parquet_file_ends_the_reading() {
    let whole = std::fs::read(seed("gzip.parquet")).unwrap();
    let (_folder, path) = file("in.parquet", &whole[..whole.len() / 2]);
    let error = all(&path, &CsvForm::default()).unwrap_err();
    assert!(error.reason.contains("not a whole Parquet file"), "{error}");
    // A page that does not unpack: the row group and the codec are named, and then there are no rows.
    let mut broken = whole.clone();
    let page = broken.windows(2).position(|bytes| bytes == [0x1f, 0x8b]).unwrap();
    broken[page..page + 12].fill(0);
    std::fs::write(&path, &broken).unwrap();
    let error = all(&path, &CsvForm::default()).unwrap_err();
    assert!(error.reason.contains("row group 1") && error.reason.contains("GZIP"), "{error}");
    let mut rows = Table::open(&path, &CsvForm::default()).unwrap().rows(&[0, 1, 2, 3]).unwrap();
    assert!(rows.next_row().is_err() && rows.next_row().unwrap().is_none());
}

#[test]
fn single_values_become_the_shortest_text_that_means_them() {
    use super::parquet::value;
    let text = |write: &dyn Fn(&mut String) -> bool| {
        let mut text = String::new();
        assert!(write(&mut text));
        text
    };
    for (bytes, scale, expected) in [
        (&[0x30, 0x39][..], 2, "123.45"),
        (&[0xcf, 0xc7], 2, "-123.45"),
        (&[0x05], 3, "0.005"),
        (&[0x64], 2, "1"),
        (&[], 0, "0"),
    ] {
        assert_eq!(text(&|text| value::decimal(value::integer(bytes).unwrap(), scale, text)), expected);
    }
    assert_eq!(value::integer(&[0xff; 32]), Some(-1));
    assert_eq!(value::integer(&[0x7f; 17]), None);
    for (number, expected) in
        [(0.1, "0.1"), (1e15, "1000000000000000"), (1.23e17, "1.23e+17"), (f64::NAN, ""), (-0.5, "-0.5")]
    {
        assert_eq!(text(&|text| value::float(number, text)), expected);
    }
    assert_eq!(number("1.23e+17"), Ok(1.23e17));
    assert_eq!(text(&|text| value::single(0.1, text)), "0.1");
    assert_eq!(text(&|text| value::half(&[0x00, 0x3c], text)), "1");
    assert_eq!(text(&|text| value::half(&[0x66, 0x2e], text)), "0.099975586");
    assert!(number(&text(&|text| value::float(f64::INFINITY, text))).unwrap_err().contains("finite"));
    assert_eq!(text(&|text| value::date(-1, text)), "1969-12-31");
}
