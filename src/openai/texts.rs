//! The type of `prompt` and `input`: a string or a list of strings.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::capped;

/// One text, or up to `MAX`. Tokens parse as `Tokens`, so that they can be rejected with a clear error.
#[derive(Clone, Debug)]
pub enum Texts<const MAX: usize> {
    Text { texts: Vec<String>, is_list: bool },
    Tokens,
}

impl<'de, const MAX: usize> Deserialize<'de> for Texts<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A text, a token or a list of tokens.
        enum Item {
            Text(String),
            Tokens,
        }
        impl<'de> Deserialize<'de> for Item {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> Visitor<'de> for Either {
                    type Value = Item;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }
                    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
                        Ok(Item::Text(text.to_owned()))
                    }
                    fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
                        Ok(Item::Tokens)
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
                        while items.next_element::<u64>()?.is_some() {}
                        Ok(Item::Tokens)
                    }
                }
                deserializer.deserialize_any(Either)
            }
        }
        struct OneOrMany<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for OneOrMany<MAX> {
            type Value = Texts<MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Texts::Text {
                    texts: vec![text.to_owned()],
                    is_list: false,
                })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                let mut tokens = false;
                while let Some(item) = items.next_element()? {
                    match item {
                        Item::Text(_) if texts.len() == MAX => return Err(capped::too_many(MAX)),
                        Item::Text(text) => texts.push(text),
                        Item::Tokens => tokens = true,
                    }
                }
                Ok(if tokens {
                    Texts::Tokens
                } else {
                    Texts::Text {
                        texts,
                        is_list: true,
                    }
                })
            }
        }
        deserializer.deserialize_any(OneOrMany::<MAX>)
    }
}
