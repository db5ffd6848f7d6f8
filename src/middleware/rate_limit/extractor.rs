use http::Request;
use tower_governor::{GovernorError, key_extractor::KeyExtractor};

/// Sets the key type of the limiters to `String`. Keys are scopes of calls and are never extracted from a request.
#[derive(Clone, Copy, Debug)]
pub struct ByScope;

impl KeyExtractor for ByScope {
    type Key = String;

    fn extract<B>(&self, _: &Request<B>) -> Result<String, GovernorError> {
        Err(GovernorError::UnableToExtractKey)
    }
}
