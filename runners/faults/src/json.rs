//! JSON in which no key may stand twice.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use crate::{Fault, Refusal};

/// A JSON value; of numbers only those that can be a size are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool,
    Number(Option<u64>),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Reads one document.
pub(crate) fn parse(text: &[u8], what: &str, fault: Option<Fault>) -> Result<Json, Refusal> {
    let keys = match fault {
        Some(Fault::LastJsonKeyWins) => Keys::LastWins,
        Some(Fault::JsonKeysFoldCase) => Keys::FoldCase,
        _ => Keys::Unique,
    };
    let refusal = |error: serde_json::Error| Refusal::new(format!("{what}: {error}"));
    let mut reader = serde_json::Deserializer::from_slice(text);
    let json = keys.deserialize(&mut reader).map_err(refusal)?;
    if fault != Some(Fault::JsonTailIgnored) {
        reader.end().map_err(refusal)?;
    }
    Ok(json)
}

impl Json {
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(members) = self else {
            return None;
        };
        let member = members.iter().find(|(name, _)| name == key);
        member.map(|(_, value)| value)
    }

    /// The value at a path of keys.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<&Json> {
        keys.iter().try_fold(self, |json, key| json.get(key))
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn text_at(&self, keys: &[&str]) -> Option<&str> {
        self.at(keys).and_then(Json::text)
    }

    pub(crate) fn array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Json::Number(number) => *number,
            _ => None,
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let members = match self {
            Json::Object(members) => members.as_slice(),
            _ => &[],
        };
        members.iter().map(|(name, _)| name.as_str())
    }
}

/// The keys whose case Go's decoder would fold, as the documents have them.
const KNOWN: [&str; 12] = [
    "annotations",
    "config",
    "data",
    "diff_ids",
    "digest",
    "layers",
    "manifests",
    "mediaType",
    "platform",
    "rootfs",
    "schemaVersion",
    "size",
];

#[derive(Clone, Copy)]
enum Keys {
    Unique,
    LastWins,
    FoldCase,
}

impl Keys {
    fn insert(self, members: &mut Vec<(String, Json)>, key: String, value: Json) -> bool {
        let key = match self {
            Keys::FoldCase => KNOWN
                .iter()
                .find(|known| known.eq_ignore_ascii_case(&key))
                .map_or(key, |known| (*known).to_owned()),
            _ => key,
        };
        match members.iter_mut().find(|(name, _)| *name == key) {
            None => members.push((key, value)),
            Some(_) if matches!(self, Keys::Unique) => return false,
            Some(member) => member.1 = value,
        }
        true
    }
}

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(Some(number)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = items.next_key::<String>()? {
            let value = items.next_value_seed(self)?;
            let shown = key.clone();
            if !self.insert(&mut members, key, value) {
                let error = format!("the key `{shown}` stands twice");
                return Err(serde::de::Error::custom(error));
            }
        }
        Ok(Json::Object(members))
    }
}
