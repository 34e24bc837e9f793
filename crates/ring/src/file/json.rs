//! Refuses what JSON allows and a ring file does not: a duplicate key.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::error::RingFault;
use crate::message::{one_line, quoted};

/// Refuses a text that is not JSON, or has a duplicate key in an object: of two lists of nodes,
/// left behind by a merge, one would be ignored silently.
pub(super) fn check(text: &str) -> Result<(), RingFault> {
    let mut reader = serde_json::Deserializer::from_str(text);
    Distinct
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| RingFault::Syntax(one_line(&error.to_string())))
}

/// Reads any value and keeps nothing of it. The reader bounds the depth.
#[derive(Clone, Copy)]
struct Distinct;

impl<'de> DeserializeSeed<'de> for Distinct {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Distinct {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("the key {} occurs twice", quoted(&key))));
            }
            map.next_value_seed(self)?;
            seen.insert(key);
        }
        Ok(())
    }
}
