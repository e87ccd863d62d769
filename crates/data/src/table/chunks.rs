//! The bytes of a Parquet file for the library that reads it.
//!
//! A page header may claim lists of billions of values. The library skips them one by one, and takes the end of the file for a
//! value of no bytes; and it allocates what a page claims before it reads. So here the end of the file is an error, and no more is
//! asked for than the file has.

use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read, Seek as _, SeekFrom};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// A file of known length.
pub(super) struct Chunks {
    file: File,
    length: u64,
}

/// Reads on to the end of the file, and fails there.
pub(super) struct Within<R>(R);

impl Chunks {
    pub(super) fn new(file: File) -> std::io::Result<Self> {
        Ok(Self { length: file.metadata()?.len(), file })
    }

    fn at(&self, start: u64) -> std::io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = Within<BufReader<File>>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(Within(BufReader::new(self.at(start)?)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let left = self.length.saturating_sub(start);
        if length as u64 > left {
            return Err(ParquetError::EOF(format!("{length} bytes are wanted, and {left} are left")));
        }
        let mut bytes = vec![0; length];
        self.at(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

impl<R: Read> Read for Within<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(into)? {
            0 if !into.is_empty() => Err(Error::new(ErrorKind::UnexpectedEof, "the file ends here")),
            read => Ok(read),
        }
    }
}
