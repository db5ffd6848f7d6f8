//! Reads lists and maps only up to a cap, because the values of a list such as `[{},{},…]` need many times their size in
//! memory.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// The start of the text of every error about a cap. It continues the name of the member.
pub const ERROR: &str = "may contain ";

/// A list of at most `MAX` items.
pub struct Items<T, const MAX: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Items<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
            type Value = Items<T, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                items(seq, MAX).map(Items)
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// A map of at most `MAX` pairs.
struct Pairs<V, const MAX: usize>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Pairs<V, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<V, const MAX: usize>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>, const MAX: usize> Visitor<'de> for Map<V, MAX> {
            type Value = Pairs<V, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = BTreeMap::new();
                let mut count = 0;
                while let Some(key) = map.next_key()? {
                    count += 1;
                    if count > MAX {
                        return Err(A::Error::custom(format!("{ERROR}at most {MAX} pairs")));
                    }
                    pairs.insert(key, map.next_value()?);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// Reads the items of `seq`.
///
/// # Errors
/// If there are more than `max`, or one of them is invalid.
pub fn items<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(
    mut seq: A,
    max: usize,
) -> Result<Vec<T>, A::Error> {
    let mut list = Vec::new();
    while list.len() < max {
        match seq.next_element()? {
            Some(item) => list.push(item),
            None => {
                // A list of one item would take the memory of four.
                list.shrink_to_fit();
                return Ok(list);
            }
        }
    }
    match seq.next_element::<IgnoredAny>()? {
        Some(_) => Err(too_many(max)),
        None => Ok(list),
    }
}

/// Deserializes an object of at most `MAX` bytes or null, for `deserialize_with`.
///
/// # Errors
/// If the value is neither null nor an object, or too long.
pub fn optional_object<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<serde_json::Map<String, Value>>, D::Error> {
    let Some(text) = Option::<Box<RawValue>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if text.get().len() > MAX {
        return Err(D::Error::custom(format!("{ERROR}at most {MAX} bytes")));
    }
    match serde_json::from_str(text.get()) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(D::Error::custom("invalid type: expected an object")),
        Err(error) => Err(D::Error::custom(error)),
    }
}

/// Creates the error for a list of more than `max` items.
pub fn too_many<E: Error>(max: usize) -> E {
    E::custom(format!("{ERROR}at most {max} items"))
}

/// Deserializes a list of at most `MAX` items, for `deserialize_with`.
///
/// # Errors
/// If the value is no list of this type, or too long.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Items::<T, MAX>::deserialize(deserializer).map(|items| items.0)
}

/// Deserializes a list of at most `MAX` items or null, for `deserialize_with`.
///
/// # Errors
/// If the value is neither null nor a list of this type, or too long.
pub fn optional_list<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let items = Option::<Items<T, MAX>>::deserialize(deserializer)?;
    Ok(items.map(|items| items.0))
}

/// Maximum number of other models that a request names.
pub const MAX_FALLBACKS: usize = 8;

/// Deserializes a map of at most `MAX` pairs or null, for `deserialize_with`.
///
/// # Errors
/// If the value is neither null nor a map of this type, or too long.
pub fn optional_map<'de, D: Deserializer<'de>, V: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, V>>, D::Error> {
    let pairs = Option::<Pairs<V, MAX>>::deserialize(deserializer)?;
    Ok(pairs.map(|pairs| pairs.0))
}
