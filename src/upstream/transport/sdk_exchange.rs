//! One exchange with a client of the SDK: which of its operations sends a request.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;

use super::{
    super::Request,
    SendError, ServiceOperation,
    sdk::Clients,
    sdk_interceptor::{RawExchange, send_error},
};
use crate::model::Target;

/// The media type of InvokeModel requests and replies.
const JSON: &str = "application/json";

impl Clients {
    /// Sends `request` once.
    pub(super) async fn exchange(
        &self,
        request: Request,
        target: &Target,
        exchange: &RawExchange,
    ) -> Result<(), SendError> {
        let sent = exchange.sent();
        let Request {
            operation,
            headers,
            body,
        } = request;
        // Runs before signing. With the SDK's own `content-length`, hyper would cut the body.
        let replace_body = move |request: &mut HttpRequest| {
            for (name, value) in &headers {
                if let Ok(value) = value.to_str() {
                    request
                        .headers_mut()
                        .insert(name.as_str().to_owned(), value.to_owned());
                }
            }
            request
                .headers_mut()
                .insert("content-length", body.len().to_string());
            *request.body_mut() = SdkBody::from(body.clone());
        };
        let failure = match operation {
            ServiceOperation::Converse => {
                let client = self.client(&target.place()).await?;
                let call = client.converse().model_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::ConverseStream => {
                let client = self.client(&target.place()).await?;
                let call = client.converse_stream().model_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::InvokeModel => {
                let client = self.client(&target.place()).await?;
                let call = client.invoke_model().model_id(&target.id);
                let call = call.content_type(JSON).accept(JSON).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::CountTokens => {
                let client = self.client(&target.place()).await?;
                let call = client.count_tokens().model_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::InvokeGuardrailChecks => {
                let client = self.client(&target.place()).await?;
                let call = client.invoke_guardrail_checks().customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::InvokeModelWithResponseStream => {
                let client = self.client(&target.place()).await?;
                let call = client.invoke_model_with_response_stream();
                let call = call.model_id(&target.id);
                let call = call.content_type(JSON).accept(JSON).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::ApplyGuardrail => {
                let client = self.client(&target.place()).await?;
                let (id, version) = target.id.rsplit_once("/version/").unwrap_or_default();
                let call = client.apply_guardrail().guardrail_identifier(id);
                let call = call.guardrail_version(version).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::Rerank => {
                let client = self.agent(&target.place()).await?;
                let call = client.rerank().customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::Retrieve => {
                let client = self.agent(&target.place()).await?;
                let call = client.retrieve().knowledge_base_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::ChatCompletions
            | ServiceOperation::MantleChatCompletions(_)
            | ServiceOperation::Responses
            | ServiceOperation::MantleResponses(_)
            | ServiceOperation::Messages
            | ServiceOperation::MantleMessages => Some(SendError::Other(format!(
                "the SDK has no operation {operation:?}"
            ))),
        };
        failure.map_or(Ok(()), Err)
    }
}
