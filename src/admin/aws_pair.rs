//! Issues the key pairs with which AWS SDKs sign their requests.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{error::ApiError, key_store::KeyStore};
use crate::governance::Audit;

impl KeyStore {
    /// Returns the key pair of a virtual key, or of a static key by its name. The pair stays the same until the key has another
    /// secret.
    pub async fn issue_aws_pair(&self, id: &str, who: String) -> Result<Value, ApiError> {
        if self.aws_pairs.is_empty() {
            return Err(ApiError::invalid(
                "This gateway issues no AWS key pairs. Set server.sigv4_key_env to the name of a variable with a secret of at \
                 least 32 random characters.",
            ));
        }
        let digest = match self.keys.static_digest(id) {
            Some(digest) => Some(digest),
            None => {
                let row = self.row(id).await?;
                if row.revoked_at.is_some() {
                    return Err(ApiError::invalid("This key is revoked. Create a new one."));
                }
                let digest = hex::decode(&row.sha256).ok();
                digest.and_then(|digest| digest.try_into().ok())
            }
        };
        let pair = digest.and_then(|digest| self.aws_pairs.issue(id, &digest));
        let pair = pair.ok_or_else(|| {
            ApiError::invalid("This key has no AWS key pair: its name is longer than 62 bytes.")
        })?;
        let audit = Audit {
            at: Timestamp::now().as_second(),
            who,
            action: "key.aws",
            subject: format!("key:{id}"),
            before: None,
            after: None,
            reason: String::new(),
        };
        // Before it is shown, because whoever has the pair can spend the key's budget.
        self.ledger.put_audit(audit).await?;
        Ok(json!({
            "key_id": id,
            "access_key_id": pair.access_key_id,
            "secret_access_key": pair.secret_access_key.expose(),
        }))
    }
}
