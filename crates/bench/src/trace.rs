//! Traces: requests to a cache, in order.
//!
//! A trace is read during the replay and never held in memory. There are three formats, none of them
//! compressed:
//!
//! - `bin`: records of 12 bytes, the key as u64 and the size of its value as u32, little-endian.
//! - `csv`: libCacheSim's format, lines of `time,id,size`. A head line is optional, and further columns are
//!   ignored. An id that is not a number is hashed to one.
//! - `oracleGeneral`: libCacheSim's format, records of 24 bytes, little-endian: time as u32, id as u64, size
//!   as u32, and the next access as i64.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::error::BenchError;

/// What a trace is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// records of a key (u64) and a size (u32), little-endian
    Bin,
    /// libCacheSim's lines: time,id,size
    Csv,
    /// libCacheSim's binary records of 24 bytes
    #[value(name = "oracleGeneral", alias = "oracle-general")]
    OracleGeneral,
}

impl Format {
    /// The format that follows from a file's name.
    fn of(path: &Path) -> Result<Self, BenchError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let wrong = |what: &str| Err(BenchError::Usage(format!("{}: {what}", path.display())));
        match Path::new(&name).extension().and_then(|ending| ending.to_str()) {
            Some("zst" | "gz" | "xz" | "bz2" | "lz4") => {
                wrong("the trace is compressed: decompress it first")
            }
            _ if name.contains("oraclegeneral") => Ok(Self::OracleGeneral),
            Some("csv") => Ok(Self::Csv),
            Some("bin") => Ok(Self::Bin),
            _ => wrong("cannot tell the trace's format from its name: use --format"),
        }
    }

    /// Bytes of a record.
    fn record(self) -> usize {
        match self {
            Self::Bin => 12,
            Self::Csv => 0,
            Self::OracleGeneral => 24,
        }
    }
}

/// Something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) key: u64,
    /// Bytes of its value.
    pub(crate) size: u32,
}

/// Opens a trace. Without a format, the file's name decides.
pub(crate) fn open(path: &Path, format: Option<Format>) -> anyhow::Result<Trace> {
    let format = format.map_or_else(|| Format::of(path), Ok)?;
    let no = |error| BenchError::NoTrace(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(no)?;
    let bytes = file.metadata().map_err(no)?.len();
    let input = BufReader::with_capacity(256 * 1024, file);
    Ok(Trace { path: path.into(), format, input, bytes, read: 0, count: 0, line: Vec::new() })
}

/// An open trace. After an error there is nothing more.
#[derive(Debug)]
pub(crate) struct Trace<R = BufReader<File>> {
    path: PathBuf,
    format: Format,
    input: R,
    bytes: u64,
    read: u64,
    /// Records or lines so far.
    count: u64,
    line: Vec<u8>,
}

/// Most bytes of a line.
const LONGEST: u64 = 4096;

impl<R: BufRead> Trace<R> {
    /// Size of the file in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    fn bad(&self, what: &str) -> anyhow::Error {
        let unit = if self.format == Format::Csv { "line" } else { "record" };
        let text = format!("{}, {unit} {}: {what}", self.path.display(), self.count);
        BenchError::BadTrace(text).into()
    }

    fn fill(&mut self, record: &mut [u8]) -> anyhow::Result<bool> {
        self.count += 1;
        let mut filled = 0;
        while filled < record.len() {
            match self.input.read(&mut record[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(self.bad("the file ends within it")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.bad(&error.to_string())),
            }
        }
        self.read += record.len() as u64;
        Ok(true)
    }

    fn record(&mut self) -> anyhow::Result<Option<Request>> {
        let mut record = [0; 24];
        let record = &mut record[..self.format.record()];
        if !self.fill(record)? {
            return Ok(None);
        }
        let at = if self.format == Format::Bin { 0 } else { 4 };
        let (mut key, mut size) = ([0; 8], [0; 4]);
        key.copy_from_slice(&record[at..at + 8]);
        size.copy_from_slice(&record[at + 8..at + 12]);
        Ok(Some(Request { key: u64::from_le_bytes(key), size: u32::from_le_bytes(size) }))
    }

    fn row(&mut self) -> anyhow::Result<Option<Request>> {
        loop {
            self.line.clear();
            self.count += 1;
            let mut limited = (&mut self.input).take(LONGEST);
            let read = limited.read_until(b'\n', &mut self.line);
            let count = read.map_err(|error| self.bad(&error.to_string()))?;
            if count == 0 {
                return Ok(None);
            }
            self.read += count as u64;
            if count as u64 == LONGEST {
                return Err(self.bad("it is too long"));
            }
            let line = String::from_utf8_lossy(&self.line);
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let mut cells = line.split(',').map(str::trim);
            let (_, id, size) = (cells.next(), cells.next(), cells.next());
            let (Some(id), Some(size)) = (id, size) else {
                return Err(self.bad(&format!("{line:?} is not time,id,size")));
            };
            match size.parse() {
                Ok(size) => return Ok(Some(Request { key: number(id), size })),
                // A head line has words in place of the numbers.
                Err(_) if self.count == 1 && !size.starts_with(|c: char| c.is_ascii_digit()) => {}
                Err(_) => return Err(self.bad(&format!("{size:?} is not a size"))),
            }
        }
    }
}

impl<R: BufRead> Iterator for Trace<R> {
    type Item = anyhow::Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = if self.format == Format::Csv { self.row() } else { self.record() };
        next.transpose()
    }
}

/// The id itself, or the FNV-1a hash of its text.
fn number(id: &str) -> u64 {
    id.parse().unwrap_or_else(|_| {
        id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(format: Format, bytes: &[u8]) -> Trace<&[u8]> {
        let path = "trace".into();
        Trace { path, format, input: bytes, bytes: 0, read: 0, count: 0, line: Vec::new() }
    }

    fn read(format: Format, bytes: &[u8]) -> Result<Vec<(u64, u32)>, String> {
        let mut trace = trace(format, bytes);
        let all = trace.by_ref().map(|next| next.map(|it| (it.key, it.size)));
        let all = all.collect::<anyhow::Result<_>>().map_err(|error| error.to_string());
        assert!(all.is_err() || trace.read() == bytes.len() as u64);
        all
    }

    #[test]
    fn records_of_ours() {
        let mut bytes = Vec::new();
        for (key, size) in [(7u64, 100u32), (u64::MAX, 0), (7, u32::MAX)] {
            bytes.extend(key.to_le_bytes());
            bytes.extend(size.to_le_bytes());
        }
        let all = [(7, 100), (u64::MAX, 0), (7, u32::MAX)];
        assert_eq!(read(Format::Bin, &bytes).unwrap(), all);
        assert_eq!(read(Format::Bin, &[]).unwrap(), []);
        let error = read(Format::Bin, &bytes[..30]).unwrap_err();
        assert_eq!(error, "trace, record 3: the file ends within it");
    }

    #[test]
    fn records_of_oracle_general() {
        let mut bytes = Vec::new();
        for (time, key, size, next) in [(1u32, 5u64, 64u32, 3i64), (2, 6, 65, -1)] {
            bytes.extend(time.to_le_bytes());
            bytes.extend(key.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend(next.to_le_bytes());
        }
        assert_eq!(read(Format::OracleGeneral, &bytes).unwrap(), [(5, 64), (6, 65)]);
        assert!(read(Format::OracleGeneral, &bytes[1..]).is_err());
    }

    #[test]
    fn lines_with_and_without_a_head() {
        let rows = "1,5,64\n2, 6 ,65,9,x\r\n\n3,5,64";
        let all = [(5, 64), (6, 65), (5, 64)];
        assert_eq!(read(Format::Csv, rows.as_bytes()).unwrap(), all);
        for head in ["time,id,size\n", "# time, object, size, next_access_vtime\n"] {
            assert_eq!(read(Format::Csv, format!("{head}{rows}").as_bytes()).unwrap(), all);
        }
        let named = read(Format::Csv, b"1,user:1,64\n2,user:2,1\n3,user:1,64\n").unwrap();
        assert!(named[0] == named[2] && named[0].0 != named[1].0);
    }

    #[test]
    fn lines_that_are_none_are_named() {
        for (rows, said) in [
            ("1,5,64\n2,6\n", "trace, line 2: \"2,6\" is not time,id,size"),
            ("1,5,64\n2,6,x\n", "trace, line 2: \"x\" is not a size"),
            ("1,5,4294967296\n", "trace, line 1: \"4294967296\" is not a size"),
            ("1,5,-1\n1,5,-1\n", "trace, line 2: \"-1\" is not a size"),
        ] {
            assert_eq!(read(Format::Csv, rows.as_bytes()).unwrap_err(), said);
        }
        assert!(read(Format::Csv, &[b'1'; 5000]).unwrap_err().contains("too long"));
    }

    #[test]
    fn names_tell_the_format() {
        let of = |name: &str| Format::of(Path::new(name)).map_err(|error| error.to_string());
        assert_eq!(of("a/w01.oracleGeneral.bin").unwrap(), Format::OracleGeneral);
        assert_eq!(of("w01.oracleGeneral").unwrap(), Format::OracleGeneral);
        assert_eq!(of("x.CSV").unwrap(), Format::Csv);
        assert_eq!(of("x.bin").unwrap(), Format::Bin);
        assert!(of("x.oracleGeneral.zst").unwrap_err().contains("decompress"));
        assert!(of("x.txt").unwrap_err().contains("--format"));
        let error = open(Path::new("/no/such.csv"), None).unwrap_err();
        assert!(matches!(BenchError::from(error), BenchError::NoTrace(_)));
    }
}
