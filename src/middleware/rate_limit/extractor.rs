use http::Request;
use tower_governor::{GovernorError, key_extractor::KeyExtractor};

/// Names the type of the keys: they come from calls, never from an HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct ByScope;

impl KeyExtractor for ByScope {
    type Key = String;

    fn extract<B>(&self, _: &Request<B>) -> Result<String, GovernorError> {
        Err(GovernorError::UnableToExtractKey)
    }
}
