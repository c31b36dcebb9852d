//! Lists in Parquet files. Row groups are read by all threads at once; every value is written out as the text that a
//! CSV list would hold, so that one set of rules decides what an address and an amount are. Rows are counted from 1.
//!
//! Addresses are texts or 20 bytes, persons texts or 32 bytes, amounts texts, integers or decimals. Floating-point
//! columns are refused: a sum of money has no nearest value.

use super::block::parse_split;
use super::header::Header;
use super::reader::{List, OnBytes, join};
use super::{HeaderError, ListError, ReadOptions, SourceError, Unit, shown};
use crate::limits::COLUMNAR_ROWS;
use crate::order::{Partitions, Sweep};
use bytes::Bytes;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Reads a whole list.
pub(super) fn read(
    file: File,
    name: &str,
    options: &ReadOptions,
    progress: OnBytes<'_>,
) -> Result<List, ListError> {
    let damaged = |error: ParquetError| SourceError::Damaged {
        name: name.to_owned(),
        compression: "Parquet",
        source: io::Error::other(error),
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let file = SerializedFileReader::new(Shared(Arc::new(file))).map_err(damaged)?;
    let wanted = Wanted::find(file.metadata().file_metadata().schema_descr(), options)?;
    let groups = groups(&file).map_err(damaged)?;
    let rows = groups.iter().fold(0u64, |rows, group| rows.saturating_add(group.rows as u64));
    if rows == 0 {
        return Err(ListError::NoRows);
    }
    let bytes_of =
        |done: u64| u64::try_from(u128::from(done) * u128::from(length) / u128::from(rows)).unwrap_or(length);
    let records = Partitions::new(Some(rows));
    let (next, done, failed) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let (mut found, mut sweep) = (Vec::new(), Sweep::default());
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(number) else { break };
            let reader = file.get_row_group(number).map_err(damaged)?;
            let mut columns = wanted.open(&*reader).map_err(damaged)?;
            for (block, begin) in (group.first_block..).zip((0..group.rows).step_by(COLUMNAR_ROWS)) {
                let rows = COLUMNAR_ROWS.min(group.rows - begin);
                columns.iter_mut().try_for_each(|column| column.fill(rows)).map_err(damaged)?;
                let texts = (0..rows).map(|row| {
                    let text = |column: usize| columns.get(column).map_or(&[][..], |column| column.text(row));
                    [text(0), text(1), text(2)]
                });
                found.push(parse_split(block, texts, &wanted.header, options, &mut sweep.records)?);
                records.take(&mut sweep, block);
                let done = done.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
                // Told in bytes, as of other lists.
                progress(bytes_of(done), Some(length));
            }
        }
        Ok(found)
    };
    // The reader trusts what it reads in places, and panics where it should not have.
    let gave_up = |_| Err(damaged(ParquetError::General("the reader gave up".to_owned())).into());
    let work = || catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(gave_up);
    let parsed =
        rayon::broadcast(|_| work().inspect_err(|_: &ListError| failed.store(true, Ordering::Relaxed)));
    let mut blocks = Vec::new();
    for found in parsed {
        blocks.append(&mut found?);
    }
    join(blocks, &wanted.header, 0, records)
}

/// A row group: its rows, and the number of the first block they are cut into.
struct Group {
    rows: usize,
    first_block: usize,
}

fn groups(file: &impl FileReader) -> ParquetResult<Vec<Group>> {
    let mut first_block = 0;
    let groups = file.metadata().row_groups().iter().map(|group| {
        let rows = usize::try_from(group.num_rows())
            .map_err(|_| ParquetError::General(format!("a row group of {} rows", group.num_rows())))?;
        let group = Group { rows, first_block };
        first_block = rows.div_ceil(COLUMNAR_ROWS).saturating_add(first_block);
        Ok(group)
    });
    groups.collect()
}

/// The columns that are read.
struct Wanted {
    /// Address, amount and, where there is one, person.
    columns: Vec<(usize, Kind, i16)>,
    header: Header,
}

/// How a column's values become text.
#[derive(Clone, Copy)]
enum Kind {
    /// As they are, or in hexadecimal where they have just the bytes of an address or a person.
    Bytes {
        raw: usize,
    },
    Integer {
        signed: bool,
    },
    Decimal {
        scale: u32,
    },
}

impl Wanted {
    fn find(schema: &SchemaDescriptor, options: &ReadOptions) -> Result<Self, ListError> {
        let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let find = |wanted: &str| {
            let mut places = names.iter().enumerate().filter(|(_, name)| *name == wanted);
            match (places.next(), places.next()) {
                (Some((place, _)), None) => Ok(Some(place)),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(HeaderError::Twice(wanted.to_owned())),
            }
        };
        let need = |wanted: &str| {
            find(wanted)?.ok_or_else(|| {
                let found: Vec<String> = names.iter().map(|name| shown(name.as_bytes())).collect();
                HeaderError::Missing { wanted: wanted.to_owned(), found: found.join(", "), separated: false }
            })
        };
        let asked = &options.columns;
        let (address, amount) = (need(&asked.address)?, need(&asked.amount)?);
        let person = match &asked.person {
            Some(name) => Some(need(name)?),
            None => find("person")?,
        };
        let described = |place: usize| (place, schema.column(place));
        let mut columns =
            vec![of_bytes(described(address), 20)?, of_amounts(described(amount), options.unit)?];
        if let Some(person) = person {
            columns.push(of_bytes(described(person), 32)?);
        }
        let person_name = person.map_or_else(|| "person".to_owned(), |place| names[place].clone());
        let header =
            Header { fields: names.len(), address: 0, amount: 1, person: person.map(|_| 2), person_name };
        Ok(Self { columns, header })
    }

    fn open(&self, group: &dyn RowGroupReader) -> ParquetResult<Vec<Column>> {
        for (place, ..) in &self.columns {
            let chunk = group.metadata().column(*place);
            let begin = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
            if begin < 0 || chunk.compressed_size() < 0 {
                return Err(ParquetError::General("a column lies before the file's beginning".to_owned()));
            }
        }
        let open = |&(place, kind, defined): &(usize, Kind, i16)| {
            let reader = group.get_column_reader(place)?;
            Ok(Column { reader, kind, defined, bytes: Vec::new(), ends: Vec::new() })
        };
        self.columns.iter().map(open).collect()
    }
}

type Described = (usize, Arc<ColumnDescriptor>);

fn refused(column: &ColumnDescriptor, wanted: &'static str) -> SourceError {
    let found = match column.logical_type_ref() {
        _ if column.max_rep_level() > 0 => "repeated values".to_owned(),
        Some(logical) => format!("{logical:?}"),
        None => column.physical_type().to_string(),
    };
    SourceError::ColumnType { column: column.path().string(), found, wanted }
}

fn of_bytes((place, column): Described, raw: usize) -> Result<(usize, Kind, i16), SourceError> {
    match column.physical_type() {
        Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY
            if column.max_rep_level() == 0 && scale(&column).is_none() =>
        {
            Ok((place, Kind::Bytes { raw }, column.max_def_level()))
        }
        _ => Err(refused(
            &column,
            "addresses and persons must be texts that begin with 0x, or their 20 or 32 bytes",
        )),
    }
}

fn of_amounts((place, column): Described, unit: Unit) -> Result<(usize, Kind, i16), SourceError> {
    let kind = match (column.physical_type(), scale(&column)) {
        _ if column.max_rep_level() > 0 => None,
        (Type::BYTE_ARRAY, None) => Some(Kind::Bytes { raw: usize::MAX }),
        _ if unit == Unit::Hex => {
            return Err(refused(
                &column,
                "hexadecimal amounts are texts; leave --unit hex out or name another column",
            ));
        }
        (Type::INT32 | Type::INT64, None) => integer(&column),
        (Type::INT32 | Type::INT64 | Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY, Some(scale)) => {
            u32::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX).map(|scale| Kind::Decimal { scale })
        }
        _ => None,
    };
    match kind {
        Some(kind) => Ok((place, kind, column.max_def_level())),
        None => Err(refused(
            &column,
            "amounts must be exact: write DECIMAL with at most 38 digits, integers or texts",
        )),
    }
}

/// Digits behind the point of 38 in all, the most that 16 bytes hold.
const SCALE_MAX: u32 = 38;

fn scale(column: &ColumnDescriptor) -> Option<i32> {
    let decimal = matches!(column.logical_type_ref(), Some(LogicalType::Decimal(_)))
        || column.converted_type() == ConvertedType::DECIMAL;
    decimal.then(|| column.type_scale())
}

/// Plain integers; dates and times are stored as integers too and are none.
fn integer(column: &ColumnDescriptor) -> Option<Kind> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(integer)), _) => Some(Kind::Integer { signed: integer.is_signed }),
        (Some(_), _) => None,
        (None, ConvertedType::NONE | ConvertedType::INT_8 | ConvertedType::INT_16) => {
            Some(Kind::Integer { signed: true })
        }
        (None, ConvertedType::INT_32 | ConvertedType::INT_64) => Some(Kind::Integer { signed: true }),
        (
            None,
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64,
        ) => Some(Kind::Integer { signed: false }),
        _ => None,
    }
}

/// A column of one row group, and the texts of some of its rows.
struct Column {
    reader: ColumnReader,
    kind: Kind,
    /// The definition level of values that are there.
    defined: i16,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Column {
    /// Takes the next `rows` rows.
    fn fill(&mut self, rows: usize) -> ParquetResult<()> {
        let Self { reader, kind, defined, bytes, ends } = self;
        let (kind, defined) = (*kind, *defined);
        bytes.clear();
        ends.clear();
        match reader {
            ColumnReader::Int32ColumnReader(reader) => {
                fill(reader, rows, defined, bytes, ends, |value, text| {
                    write_integer(i64::from(*value), value.cast_unsigned(), kind, text);
                })
            }
            ColumnReader::Int64ColumnReader(reader) => {
                fill(reader, rows, defined, bytes, ends, |value, text| {
                    write_integer(*value, value.cast_unsigned(), kind, text);
                })
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                fill(reader, rows, defined, bytes, ends, |value, text| write_bytes(value.data(), kind, text))
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                fill(reader, rows, defined, bytes, ends, |value, text| write_bytes(value.data(), kind, text))
            }
            _ => Err(ParquetError::General(
                "a row group's column has another type than the schema says".to_owned(),
            )),
        }
    }

    fn text(&self, row: usize) -> &[u8] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[begin..self.ends[row]]
    }
}

/// Reads values and writes each as text; missing ones are empty.
fn fill<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    defined: i16,
    bytes: &mut Vec<u8>,
    ends: &mut Vec<usize>,
    write: impl Fn(&T::T, &mut Vec<u8>),
) -> ParquetResult<()> {
    let (mut levels, mut values, mut done) = (Vec::new(), Vec::new(), 0);
    while done < rows {
        let optional = (defined > 0).then_some(&mut levels);
        let (records, _, _) = reader.read_records(rows - done, optional, None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::EOF(format!("a column has {done} of {rows} rows")));
        }
        done += records;
    }
    let mut values = values.iter();
    for row in 0..rows {
        if defined == 0 || levels.get(row) == Some(&defined) {
            let value = values.next().ok_or_else(|| ParquetError::EOF("a column lacks values".to_owned()))?;
            write(value, bytes);
        }
        ends.push(bytes.len());
    }
    Ok(())
}

fn write_integer(signed: i64, unsigned: impl Into<i128>, kind: Kind, text: &mut Vec<u8>) {
    match kind {
        Kind::Integer { signed: false } => write_decimal(unsigned.into(), 0, text),
        Kind::Decimal { scale } => write_decimal(signed.into(), scale, text),
        Kind::Integer { signed: true } | Kind::Bytes { .. } => write_decimal(signed.into(), 0, text),
    }
}

fn write_bytes(value: &[u8], kind: Kind, text: &mut Vec<u8>) {
    match kind {
        Kind::Decimal { scale } => match big_endian(value) {
            Some(number) => write_decimal(number, scale, text),
            // More than 16 bytes is far above every limit; this is no number to whoever parses it, and shows what it is.
            None => text.extend_from_slice(const_hex::encode_prefixed(value).as_bytes()),
        },
        Kind::Bytes { raw } if value.len() == raw => {
            text.extend_from_slice(const_hex::encode_prefixed(value).as_bytes())
        }
        Kind::Bytes { .. } | Kind::Integer { .. } => text.extend_from_slice(value),
    }
}

/// A two's complement number, as Parquet stores decimals.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.first()? >> 7 == 1 { 0xff } else { 0 };
    let mut whole = [fill; 16];
    let from = bytes.len().saturating_sub(16);
    let (above, low) = bytes.split_at(from);
    whole[16 - low.len()..].copy_from_slice(low);
    let fits = above.iter().all(|&byte| byte == fill) && (whole[0] >> 7 == fill >> 7);
    fits.then_some(i128::from_be_bytes(whole))
}

/// Writes `number / 10^scale` without zeros at its end: they are the type's, not the amount's.
fn write_decimal(number: i128, scale: u32, text: &mut Vec<u8>) {
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let fraction = fraction.trim_end_matches('0');
    if number < 0 {
        text.push(b'-');
    }
    text.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        text.push(b'.');
        text.extend_from_slice(fraction.as_bytes());
    }
}

/// A file that several threads read, each where it needs to.
struct Shared(Arc<File>);

/// From one place on.
struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Length for Shared {
    fn len(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl ChunkReader for Shared {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> ParquetResult<BufReader<From>> {
        Ok(BufReader::new(From { file: Arc::clone(&self.0), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // The length is the file's word; only bytes that are there take memory.
        let mut bytes = Vec::new();
        let mut from = From { file: Arc::clone(&self.0), at: start }.take(length as u64);
        if from.read_to_end(&mut bytes)? < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} reach beyond the file")));
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_out() {
        let text = |number, scale| {
            let mut text = Vec::new();
            write_decimal(number, scale, &mut text);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(text(1_500, 3), "1.5");
        assert_eq!(text(5, 3), "0.005");
        assert_eq!(text(100, 2), "1");
        assert_eq!(text(100, 0), "100");
        assert_eq!(text(-25, 1), "-2.5");
        assert_eq!(text(i128::MIN, 38), "-1.70141183460469231731687303715884105728");
    }

    #[test]
    fn decimals_of_any_length_are_read() {
        assert_eq!(big_endian(&[]), None);
        assert_eq!(big_endian(&[0xff]), Some(-1));
        assert_eq!(big_endian(&[0, 0xff]), Some(255));
        let mut long = [0; 32];
        long[16..].copy_from_slice(&i128::MAX.to_be_bytes());
        assert_eq!(big_endian(&long), Some(i128::MAX));
        long[16] = 0x80;
        assert_eq!(big_endian(&long), None, "the sign's bit is the number's");
        assert_eq!(big_endian(&[0xff; 32]), Some(-1));
    }
}
