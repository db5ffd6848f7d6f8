//! Messages that say that another route may serve the model. They move the calls of all clients, so the whole message must
//! have a known form: text of one client can be quoted in any other.

/// Reports whether a message, in lower case, says that there is no model of this id.
pub fn is_invalid_id(message: &str) -> bool {
    let message = message.trim_end_matches('.');
    let message = message.strip_prefix("the provided ").unwrap_or(message);
    message == "model identifier is invalid"
}

/// Reports whether a message, in lower case, says that another API serves the model. The whole message must have a known
/// form, because text of the client can be quoted in it.
pub fn is_wrong_route(message: &str) -> bool {
    if message.starts_with("this action doesn't support the model that you provided") {
        return true;
    }
    let message = message.strip_suffix('.').unwrap_or(message);
    let starts = ["the model", "this model", "model"];
    let rest = starts.iter().find_map(|start| message.strip_prefix(start));
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix(' ')) else {
        return false;
    };
    const ENDS: [&str; 3] = [
        "isn't supported on this route",
        "is not supported on this route",
        "does not support the ",
    ];
    let is_name = |text: &str| !text.is_empty() && !text.contains([' ', '\n']);
    let verb = match rest.split_once(' ') {
        Some((name, verb)) if !ENDS.iter().any(|end| rest.starts_with(end)) => {
            if !is_name(name) {
                return false;
            }
            verb
        }
        _ => rest,
    };
    if ENDS[..2].contains(&verb) {
        return true;
    }
    let api = verb.strip_prefix(ENDS[2]);
    let api = api.and_then(|rest| rest.strip_suffix(" api"));
    // Outside of quotes, a name is one word.
    api.is_some_and(|api| {
        let quoted = api
            .strip_prefix('\'')
            .and_then(|api| api.strip_suffix('\''));
        match quoted {
            Some(quoted) => !quoted.is_empty() && !quoted.contains('\''),
            None => is_name(api),
        }
    })
}
