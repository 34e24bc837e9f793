//! Traces: files of requests in the order they came, each a key and the size of its value.
//!
//! Three formats are read, all of them front to back and with bounded memory:
//!
//! - records of 12 bytes: u64 key, u32 value size, little-endian (what this project keeps);
//! - libCacheSim's oracleGeneral, records of 24 bytes: u32 time, u64 key, u32 size, i64 next access,
//!   little-endian;
//! - CSV, as libCacheSim has it: `time,id,size,...`, or columns named by a head line.
//!
//! Compressed files are not read; unpack them first.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, bail};

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Names the item. A name that was not a number in the file is its hash.
    pub(crate) key: u64,
    /// Bytes of its value.
    pub(crate) size: u32,
}

/// How a file writes its requests down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Records,
    OracleGeneral,
    Csv,
}

impl Format {
    /// What the name of a file says: `*.csv`, `*oracleGeneral*`, else records.
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.ends_with(".csv") {
            Self::Csv
        } else if name.contains("oraclegeneral") {
            Self::OracleGeneral
        } else {
            Self::Records
        }
    }
}

/// The requests of a file, one after the other. Ends after the first error.
pub(crate) struct Trace<R = BufReader<File>> {
    file: R,
    format: Format,
    columns: Columns,
    /// Records or lines read so far; None after the end or an error.
    at: Option<u64>,
}

impl Trace {
    /// Opens a trace; its name says the format: `*.csv`, `*oracleGeneral*`, else records.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path)
            .with_context(|| format!("cannot open the trace {}", path.display()))?;
        Ok(Self::new(BufReader::with_capacity(1 << 20, file), Format::of(path)))
    }
}

impl<R: BufRead> Trace<R> {
    fn new(file: R, format: Format) -> Self {
        Self { file, format, columns: Columns::default(), at: Some(0) }
    }

    fn read(&mut self, at: u64) -> anyhow::Result<Option<Request>> {
        match self.format {
            Format::Records => Ok(self.record::<12>(at)?.map(|bytes| {
                let (key, size) = (field(&bytes, 0), field(&bytes, 8));
                Request { key: u64::from_le_bytes(key), size: u32::from_le_bytes(size) }
            })),
            Format::OracleGeneral => Ok(self.record::<24>(at)?.map(|bytes| {
                let (key, size) = (field(&bytes, 4), field(&bytes, 12));
                Request { key: u64::from_le_bytes(key), size: u32::from_le_bytes(size) }
            })),
            Format::Csv => self.line(at),
        }
    }

    /// None at the end of the file.
    fn record<const N: usize>(&mut self, at: u64) -> anyhow::Result<Option<[u8; N]>> {
        if self.file.fill_buf().context("cannot read the trace")?.is_empty() {
            return Ok(None);
        }
        let mut bytes = [0; N];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                bail!("the trace ends within record {}: records have {N} bytes", at + 1)
            }
            Err(error) => Err(error).context("cannot read the trace"),
        }
    }

    fn line(&mut self, at: u64) -> anyhow::Result<Option<Request>> {
        let mut text = String::new();
        loop {
            text.clear();
            // A line longer than this is no line of a trace.
            let read = (&mut self.file).take(1 << 16).read_line(&mut text);
            if read.context("cannot read the trace")? == 0 {
                return Ok(None);
            }
            let line = text.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if at == 0 && Columns::is_head(line) {
                self.columns = Columns::of(line)?;
                continue;
            }
            let request = self.columns.request(line);
            return request.map(Some).with_context(|| format!("request {}: {line:?}", at + 1));
        }
    }
}

impl<R: BufRead> Iterator for Trace<R> {
    type Item = anyhow::Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at.take()?;
        let next = self.read(at).transpose();
        if let Some(Ok(_)) = next {
            self.at = Some(at + 1);
        }
        next
    }
}

/// The bytes of a field; `N` and `from` are constants within the record.
fn field<const N: usize>(record: &[u8], from: usize) -> [u8; N] {
    std::array::from_fn(|at| record[from + at])
}

/// Which columns of a CSV file hold the key and the size, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    key: usize,
    size: usize,
}

impl Default for Columns {
    /// `time,id,size`
    fn default() -> Self {
        Self { key: 1, size: 2 }
    }
}

impl Columns {
    const KEYS: [&'static str; 6] = ["id", "obj_id", "object_id", "key", "lbn", "lba"];
    const SIZES: [&'static str; 4] = ["size", "obj_size", "object_size", "value_size"];

    /// A head names the column of the size; a request has a number there.
    fn is_head(line: &str) -> bool {
        line.split(',').any(|name| Self::SIZES.contains(&&*name.trim().to_lowercase()))
    }

    fn of(head: &str) -> anyhow::Result<Self> {
        let names: Vec<String> = head.split(',').map(|name| name.trim().to_lowercase()).collect();
        let find = |known: &[&str], what| {
            let column = names.iter().position(|name| known.contains(&&**name));
            column.with_context(|| {
                format!("no column of {head:?} is a {what}: want one of {known:?}")
            })
        };
        Ok(Self { key: find(&Self::KEYS, "key")?, size: find(&Self::SIZES, "size")? })
    }

    fn request(self, line: &str) -> anyhow::Result<Request> {
        let cell = |column: usize, what| {
            let cell = line.split(',').nth(column).map(str::trim).filter(|cell| !cell.is_empty());
            cell.with_context(|| format!("no {what} in column {}", column + 1))
        };
        let (key, size) = (cell(self.key, "key")?, cell(self.size, "size")?);
        let size = size.parse().with_context(|| format!("{size:?} is not a size in bytes"))?;
        Ok(Request { key: key.parse().unwrap_or_else(|_| name_hash(key)), size })
    }
}

/// FNV-1a: the same for a name in every run.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], format: Format) -> Vec<Result<(u64, u32), String>> {
        let requests = Trace::new(bytes, format);
        requests
            .map(|request| request.map(|r| (r.key, r.size)).map_err(|error| format!("{error:#}")))
            .collect()
    }

    #[test]
    fn names_say_formats() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("/a/web12.bin"), Format::Records);
        assert_eq!(of("x.oracleGeneral.bin"), Format::OracleGeneral);
        assert_eq!(of("/oracleGeneral/cluster52.CSV"), Format::Csv);
    }

    #[test]
    fn records() {
        let mut bytes = Vec::new();
        for (key, size) in [(u64::MAX, 1_u32), (7, u32::MAX)] {
            bytes.extend(key.to_le_bytes());
            bytes.extend(size.to_le_bytes());
        }
        assert_eq!(read(&bytes, Format::Records), [Ok((u64::MAX, 1)), Ok((7, u32::MAX))]);
        assert_eq!(read(&[], Format::Records), []);
        bytes.pop();
        let cut = read(&bytes, Format::Records);
        assert_eq!(cut.len(), 2);
        assert!(cut[1].as_ref().unwrap_err().contains("within record 2"), "{cut:?}");
    }

    #[test]
    fn oracle_general() {
        let mut bytes = Vec::new();
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(42_u64.to_le_bytes());
        bytes.extend(100_u32.to_le_bytes());
        bytes.extend((-1_i64).to_le_bytes());
        assert_eq!(read(&bytes, Format::OracleGeneral), [Ok((42, 100))]);
    }

    #[test]
    fn csv() {
        assert_eq!(read(b"1,5,10\r\n\n2, 6 ,20,x", Format::Csv), [Ok((5, 10)), Ok((6, 20))]);
        let named = b"# from a disk\nversion,time,op,size,lbn\n1,3,2a,512,99\n";
        assert_eq!(read(named, Format::Csv), [Ok((99, 512))]);
        assert_eq!(read(b"time,size\n", Format::Csv).len(), 1);
        let words = read(b"1,user:1,10\n2,user:2,10\n3,user:1,10\n", Format::Csv);
        assert_eq!(words[0], words[2]);
        assert_ne!(words[0], words[1]);
        let bad = read(b"1,5,10\n2,6,many\n3,7,10\n", Format::Csv);
        assert_eq!(bad.len(), 2, "nothing follows an error");
        assert!(bad[1].as_ref().unwrap_err().contains("request 2"), "{bad:?}");
        assert!(read(b"1,5\n", Format::Csv)[0].is_err());
        assert!(read(b"1,5,-1\n", Format::Csv)[0].is_err());
    }
}
