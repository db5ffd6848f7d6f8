//! Prepares the requests of a call for another place of its model: another region has another inference profile and another
//! price.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Exchange, Request, invoke::malformed};
use crate::{call::Call, error::Error};

/// Returns `call` at one of the places of its model.
pub fn at<T>(call: &Call<T>, place: usize) -> Call<T> {
    Call {
        request_id: call.request_id.clone(),
        caller: call.caller.clone(),
        model: Arc::new(call.model.at(place)),
        body: call.body.clone(),
        plan: call.plan.clone(),
        end_user: call.end_user.clone(),
        trace: call.trace.clone(),
    }
}

/// The requests of a call at another place, by their index. Each is taken once.
type Parts<T> = Vec<Option<(Request, <T as Exchange>::Decoder)>>;

/// Encodes a call for other places than the one that it was encoded for. All its requests that move share one encoding.
pub struct Relocation<'a, T: Exchange> {
    call: &'a Arc<Call<T>>,
    encoded: Mutex<Option<(usize, Parts<T>)>>,
}

impl<'a, T: Exchange> Relocation<'a, T> {
    /// Creates the relocation of `call`, which encodes nothing yet.
    pub fn of(call: &'a Arc<Call<T>>) -> Self {
        Self {
            call,
            encoded: Mutex::new(None),
        }
    }

    /// Returns the request at `index` among those of the call, at `place`, and the call there.
    ///
    /// # Errors
    /// As [`Codec::encode`](super::Codec::encode).
    pub async fn request(
        &self,
        place: usize,
        index: usize,
    ) -> Result<(Arc<Call<T>>, Request, T::Decoder), Error> {
        let there = Arc::new(at(self.call, place));
        if let Some((request, decoder)) = self.take(place, index) {
            return Ok((there, request, decoder));
        }
        let call = there.clone();
        let encode = move || match T::codec(call.plan.route) {
            Some(codec) => codec.encode(&call),
            None => Err(malformed("the route has no codec")),
        };
        let requests = self.call.trace.compute(encode).await?;
        let parts: Parts<T> = requests.into_iter().map(Some).collect();
        *self.lock() = Some((place, parts));
        let taken = self.take(place, index);
        let (request, decoder) = taken.ok_or_else(|| malformed("no such request was made"))?;
        Ok((there, request, decoder))
    }

    fn take(&self, place: usize, index: usize) -> Option<(Request, T::Decoder)> {
        let mut encoded = self.lock();
        let (_, parts) = encoded.as_mut().filter(|(at, _)| *at == place)?;
        parts.get_mut(index)?.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(usize, Parts<T>)>> {
        self.encoded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
