//! The meta commands, as in `protocol.txt`: flags in, flags out.

use bytes::Bytes;
use ringbinder_protocol::{MAX_VALUE_LEN, Tokens};

use crate::client::{Client, checked};
use crate::error::Error;
use crate::wire::{Answer, Request};

/// The answer to a meta command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaReply {
    line: Bytes,
    /// The value, if it was requested with `v` and there is one.
    pub value: Option<Bytes>,
}

impl MetaReply {
    /// Two letters: `HD`, `VA`, `EN`, `NF`, `NS` or `EX`.
    pub fn code(&self) -> &[u8] {
        Tokens::new(&self.line).next().unwrap_or_default()
    }

    /// The token of a return flag: empty for a flag without one, `None` if the flag is absent.
    pub fn flag(&self, flag: u8) -> Option<&[u8]> {
        // The length after VA is not a flag.
        let skipped = if self.code() == b"VA" { 2 } else { 1 };
        Tokens::new(&self.line)
            .skip(skipped)
            .find(|word| word.first() == Some(&flag))
            .map(|word| &word[1..])
    }

    pub(crate) fn into_answer(self) -> Answer {
        Answer::Meta(self.line, self.value)
    }

    /// The number of a return flag.
    pub fn number(&self, flag: u8) -> Option<i64> {
        std::str::from_utf8(self.flag(flag)?).ok()?.parse().ok()
    }

    /// The CAS unique, if it was requested with `c`.
    pub fn cas(&self) -> Option<u64> {
        std::str::from_utf8(self.flag(b'c')?).ok()?.parse().ok()
    }
}

impl Client {
    /// `mg`: get with flags, such as `"v t N30"`. The quiet flag `q` and the opaque `O` have no use
    /// here and are refused, as is `b`. `None` if the owner is unreachable and that is a miss.
    ///
    /// # Errors
    /// An invalid key, a refusal, or an unreachable owner if that is an error.
    pub async fn meta_get(
        &self,
        key: impl AsRef<[u8]>,
        flags: &str,
    ) -> Result<Option<MetaReply>, Error> {
        self.meta("mg", key.as_ref(), None, flags).await
    }

    /// `ms`: set with flags, such as `"T30 C55"`.
    ///
    /// # Errors
    /// See [`Client::meta_get`].
    pub async fn meta_set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        flags: &str,
    ) -> Result<Option<MetaReply>, Error> {
        let value = value.as_ref();
        if value.len() > MAX_VALUE_LEN {
            return Err(Error::ValueTooLong { len: value.len() });
        }
        self.meta("ms", key.as_ref(), Some(value), flags).await
    }

    /// `md`: delete, or make stale, with flags such as `"I T30"`.
    ///
    /// # Errors
    /// See [`Client::meta_get`].
    pub async fn meta_delete(
        &self,
        key: impl AsRef<[u8]>,
        flags: &str,
    ) -> Result<Option<MetaReply>, Error> {
        self.meta("md", key.as_ref(), None, flags).await
    }

    /// `ma`: arithmetic with flags such as `"N0 J1 v"`.
    ///
    /// # Errors
    /// See [`Client::meta_get`].
    pub async fn meta_arithmetic(
        &self,
        key: impl AsRef<[u8]>,
        flags: &str,
    ) -> Result<Option<MetaReply>, Error> {
        self.meta("ma", key.as_ref(), None, flags).await
    }

    async fn meta(
        &self,
        verb: &'static str,
        key: &[u8],
        value: Option<&[u8]>,
        flags: &str,
    ) -> Result<Option<MetaReply>, Error> {
        let key = checked(key)?;
        // The answer of a quiet command might never come, and a flag must not end the line.
        let quiet = |word: &str| word.starts_with(['q', 'b', 'O']);
        if flags.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Error::Line(flags.to_owned()));
        }
        if flags.split(' ').any(quiet) {
            return Err(Error::Flags(flags.to_owned()));
        }
        // A get with other flags changes nothing that concerns the near cache.
        let changes = |word: &str| verb != "mg" || word.starts_with(['N', 'T', 'E']);
        let _writing = flags.split(' ').any(changes).then(|| self.near_writing(key));
        self.meta_call(verb, key, value, flags).await
    }

    /// Sends a meta command whose key and flags have been checked. The caller handles the key in
    /// the near cache.
    pub(crate) async fn meta_call(
        &self,
        verb: &'static str,
        key: &[u8],
        value: Option<&[u8]>,
        flags: &str,
    ) -> Result<Option<MetaReply>, Error> {
        let request = Request::Meta { verb, key, value, flags };
        match self.ask(key, &request).await? {
            Some(Answer::Meta(line, value)) => Ok(Some(MetaReply { line, value })),
            Some(answer) => Err(self.unexpected(key, &answer)),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_and_the_length_is_none() {
        let reply = MetaReply { line: Bytes::from_static(b"VA 2 t-1 c77 W s2"), value: None };
        assert_eq!(reply.code(), b"VA");
        assert_eq!(reply.number(b't'), Some(-1));
        assert_eq!(reply.cas(), Some(77));
        assert_eq!(reply.flag(b'W'), Some(&b""[..]));
        assert_eq!((reply.flag(b'Z'), reply.flag(b'2')), (None, None));
        let reply = MetaReply { line: Bytes::from_static(b"EN"), value: None };
        assert_eq!((reply.code(), reply.flag(b'c')), (&b"EN"[..], None));
    }
}
