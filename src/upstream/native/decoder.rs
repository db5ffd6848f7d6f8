//! Decodes replies of the endpoints, whole and streamed.

use std::{collections::VecDeque, sync::Arc};

use http::HeaderMap;
use serde_json::{Value, json};

use super::{
    Native,
    responses::ItemTranslator,
    stream::{EventTranslator, NativeStreamDecoder},
    translator::Translator,
};
use crate::{
    call::Warnings,
    error::{Error, Kind},
    model::ToolUseIdForm,
    upstream::{
        BilledError, Request,
        chat::decoder::{Decoder, StreamDecoder, WholeAnswer},
        converse::{
            ReplyPlan,
            repair::{self, SchemaMismatch},
        },
        halves::Halves,
    },
};

/// Decodes the reply to one request.
pub struct NativeDecoder {
    pub endpoint: Native,
    pub plan: Arc<ReplyPlan>,
    /// Whether an answer that does not match its schema is requested a second time.
    pub repairs: bool,
    pub warnings: Warnings,
    /// Identifies the answer among all answers of the gateway.
    pub answer_id: String,
    pub id_form: ToolUseIdForm,
}

impl NativeDecoder {
    fn translator(&self) -> Translator {
        Translator::new(
            self.plan.clone(),
            self.warnings.clone(),
            self.answer_id.clone(),
            self.id_form,
        )
    }

    fn item_translator(&self) -> ItemTranslator {
        ItemTranslator::new(
            self.plan.clone(),
            self.warnings.clone(),
            self.answer_id.clone(),
            self.id_form,
        )
    }

    fn decoder_of(&self, translator: impl EventTranslator + 'static) -> Box<dyn StreamDecoder> {
        let (plan, warnings) = (self.plan.clone(), self.warnings.clone());
        Box::new(NativeStreamDecoder::new(translator, plan, warnings))
    }
}

impl Decoder for NativeDecoder {
    fn whole(&self, _: &HeaderMap, body: &[u8]) -> Result<WholeAnswer, BilledError> {
        let mut chunks = VecDeque::new();
        let body = Halves::default().join(body, &self.warnings);
        match self.endpoint.is_responses() {
            true => self.item_translator().whole(&body, &mut chunks)?,
            false => self.translator().whole(&body, &mut chunks)?,
        }
        Ok(WholeAnswer {
            chunks,
            invoked_model: None,
        })
    }

    fn stream(&self, _: &HeaderMap) -> Box<dyn StreamDecoder> {
        match self.endpoint.is_responses() {
            true => self.decoder_of(self.item_translator()),
            false => self.decoder_of(self.translator()),
        }
    }

    fn at_standard_tier(&self) -> Option<Arc<dyn Decoder>> {
        let plan = self.plan.at_standard_tier();
        Some(Arc::new(Self {
            plan: Arc::new(plan),
            warnings: self.warnings.clone(),
            answer_id: self.answer_id.clone(),
            ..*self
        }))
    }

    fn repair(&self, request: &Request, answer: &WholeAnswer) -> Result<Option<Request>, Error> {
        let Some(SchemaMismatch { text, problem }) = repair::schema_mismatch(&self.plan, answer)
        else {
            return Ok(None);
        };
        if !self.repairs {
            self.warnings.add(repair::NOT_JSON);
            return Ok(None);
        }
        repaired(request, &text, &problem).map(Some)
    }

    fn repaired(&self, second: Result<&WholeAnswer, &'static str>) {
        self.warnings.add(match second {
            Err(code) => {
                let failed = format!("the second request failed with '{code}'");
                format!("{} and {failed}", repair::NOT_JSON).into()
            }
            Ok(second) => repair::outcome(&self.plan, second),
        });
    }
}

/// Returns the same request, with the answer and what is wrong with it appended to the conversation.
fn repaired(request: &Request, answer: &str, problem: &str) -> Result<Request, Error> {
    let internal = |error: serde_json::Error| {
        Error::new(
            Kind::Internal,
            "The gateway could not serialize the request for a corrected answer.",
        )
        .with_detail(error.to_string())
    };
    let mut body: Value = serde_json::from_slice(&request.body).map_err(internal)?;
    let list = if body["input"].is_array() {
        "input"
    } else {
        "messages"
    };
    if let Some(messages) = body[list].as_array_mut() {
        let said = match answer.trim() {
            "" => ".",
            said => said,
        };
        messages.push(json!({"role": "assistant", "content": said}));
        messages.push(json!({"role": "user", "content": repair::correction(problem)}));
    }
    let body = serde_json::to_vec(&body).map_err(internal)?;
    Ok(Request {
        body: body.into(),
        ..request.clone()
    })
}
