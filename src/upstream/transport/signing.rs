//! SigV4 signatures of requests outside the SDK.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};

/// The parts of a request that its signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub method: &'static str,
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    pub region: &'a str,
    /// The service name in the scope of the signature.
    pub service: &'a str,
}

impl Signed<'_> {
    /// Returns the headers to add to the request.
    ///
    /// # Errors
    /// If the request cannot be signed.
    pub fn headers(
        &self,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<Vec<(String, String)>, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| text(&error))?;
        let headers = self.headers.iter().copied();
        let body = SignableBody::Bytes(self.body);
        let request = SignableRequest::new(self.method, self.url, headers, body)
            .map_err(|error| text(&error))?;
        let (instructions, _) = sign(request, &params.into())
            .map_err(|error| text(&error))?
            .into_parts();
        let (headers, _) = instructions.into_parts();
        Ok(headers
            .iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned()))
            .collect())
    }
}
