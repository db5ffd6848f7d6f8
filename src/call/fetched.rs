use std::{collections::HashMap, sync::Arc};

/// Media that the request names by URL, already here: Base64 by URL.
#[derive(Clone, Debug, Default)]
pub struct Fetched(Arc<HashMap<String, String>>);

impl Fetched {
    pub fn new(by_url: HashMap<String, String>) -> Self {
        Self(Arc::new(by_url))
    }

    pub fn get(&self, url: &str) -> Option<&str> {
        self.0.get(url).map(String::as_str)
    }
}
