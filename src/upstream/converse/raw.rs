use std::borrow::Cow;

use serde_json::value::RawValue;

/// Converts text that is valid JSON to a raw value.
pub fn raw_json<'a>(json: String) -> Cow<'a, RawValue> {
    RawValue::from_string(json).map_or(Cow::Borrowed(RawValue::NULL), Cow::Owned)
}
