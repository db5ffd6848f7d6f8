//! Answers that the request has begun: the model continues them.

use serde_json::Value;

use super::passages::said;

/// Returns the rest of an answer of which the last message of `request`, an assistant's, has the beginning. `answer` returns
/// the whole answer to the messages before. `None` if there is no beginning, or the answer begins otherwise.
pub fn rest(request: &Value, answer: impl FnOnce(&Value) -> String) -> Option<String> {
    let (last, before) = request["messages"].as_array()?.split_last()?;
    if last["role"] != "assistant" {
        return None;
    }
    let begun = said(last["content"].as_array()?).join("");
    let mut asked = request.clone();
    asked["messages"] = before.into();
    answer(&asked).strip_prefix(&begun).map(str::to_owned)
}
