//! JSON without second meanings: a duplicate key at any depth is an error, keys match by exact bytes,
//! and a type never stands in for another.
//!
//! Readers that keep the last duplicate, or fold case, see another image than those that do not.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::Error;
use crate::limits;

/// An object of a document, with the words to name it in errors.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    map: &'a Map<String, Value>,
    document: &'a str,
    place: &'a str,
}

/// Parses a whole document that must be one object.
pub(crate) fn parse(bytes: &[u8], document: &str) -> Result<Map<String, Value>, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict {
        depth: limits::DOCUMENT_DEPTH,
    }
    .deserialize(&mut deserializer)
    .and_then(|value| deserializer.end().map(|()| value))
    .map_err(|e| Error::document(document, format!("not valid JSON: {e}")))?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(Error::document(document, "not a JSON object")),
    }
}

impl<'a> Object<'a> {
    pub(crate) fn root(map: &'a Map<String, Value>, document: &'a str) -> Self {
        Self {
            map,
            document,
            place: "",
        }
    }

    pub(crate) fn error(&self, problem: impl fmt::Display) -> Error {
        match self.place {
            "" => Error::document(self.document, problem.to_string()),
            place => Error::document(self.document, format!("in `{place}`: {problem}")),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| self.error(format_args!("`{key}` is missing")))
    }

    pub(crate) fn optional_string(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.map.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(format_args!("`{key}` is not a string"))),
        }
    }

    pub(crate) fn string(&self, key: &str) -> Result<&'a str, Error> {
        self.required(key, self.optional_string(key)?)
    }

    pub(crate) fn number(&self, key: &str) -> Result<u64, Error> {
        let value = self.required(key, self.map.get(key))?;
        // `as_u64` refuses negative numbers, fractions and strings; the schema's type is int64.
        let number = value.as_u64().filter(|n| i64::try_from(*n).is_ok());
        number.ok_or_else(|| self.error(format_args!("`{key}` is not a size: {value}")))
    }

    pub(crate) fn optional_object(&self, key: &'a str) -> Result<Option<Object<'a>>, Error> {
        match self.map.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Object {
                map,
                place: key,
                ..*self
            })),
            Some(_) => Err(self.error(format_args!("`{key}` is not an object"))),
        }
    }

    pub(crate) fn object(&self, key: &'a str) -> Result<Object<'a>, Error> {
        self.required(key, self.optional_object(key)?)
    }

    pub(crate) fn array(&self, key: &str) -> Result<&'a [Value], Error> {
        match self.required(key, self.map.get(key))? {
            Value::Array(values) => Ok(values),
            _ => Err(self.error(format_args!("`{key}` is not an array"))),
        }
    }

    /// The objects of an array.
    pub(crate) fn objects(&self, key: &'a str) -> Result<Vec<Object<'a>>, Error> {
        let object = |value: &'a Value| match value {
            Value::Object(map) => Ok(Object {
                map,
                place: key,
                ..*self
            }),
            _ => Err(self.error(format_args!(
                "`{key}` holds something that is not an object"
            ))),
        };
        self.array(key)?.iter().map(object).collect()
    }

    /// The strings of an array.
    pub(crate) fn strings(&self, key: &str) -> Result<Vec<&'a str>, Error> {
        let string = |value: &'a Value| {
            value.as_str().ok_or_else(|| {
                self.error(format_args!("`{key}` holds something that is not a string"))
            })
        };
        self.array(key)?.iter().map(string).collect()
    }
}

/// Builds a [`Value`], refusing duplicate keys and deep nesting.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!(
                    "duplicate key `{}`",
                    key.escape_debug()
                )));
            }
            let value = access.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
