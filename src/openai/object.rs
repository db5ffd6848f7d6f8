//! Deserializes structs from JSON objects only. By default, serde also accepts a list of the values of the members, which
//! would hide mistakes of clients.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::capped::Items;

/// A `T` that is deserialized only from a JSON object.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMaps<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMaps<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(OnlyMaps(PhantomData))
    }
}

/// Deserializes a list of at most `MAX` objects, for `deserialize_with`.
///
/// # Errors
/// If the value is not a list of objects of type `T`, or too long.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let Items(objects) = Items::<Object<T>, MAX>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|object| object.0).collect())
}

/// Deserializes a list of at most `MAX` objects or null, for `deserialize_with`.
///
/// # Errors
/// If the value is neither null nor a list of objects of type `T`, or too long.
pub fn optional_list<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let objects = Option::<Items<Object<T>, MAX>>::deserialize(deserializer)?;
    Ok(objects.map(|Items(objects)| objects.into_iter().map(|object| object.0).collect()))
}
