//! Callers, models, and what is asked of them.

use std::sync::Arc;

use crate::{
    call::{Call, Caller, Trace, Unplanned},
    model::{Embed as EmbedFacts, EmbedFamily, Facts, Model, Target},
    money::{PicoUsd, Price},
    operation::{
        Operation,
        chat::{Chat, Message, Origin, Part, Role, ToolInput, ToolUse},
        embed::{Embed, Input},
    },
};

/// 1000 nano-dollars for a token of input, and 2000 for one of output.
pub fn price() -> Price {
    serde_json::from_str(r#"{"input": "1", "output": "2"}"#).unwrap()
}

/// A model for chats at 1000 nano-dollars for a token of input and 2000 for one of output.
pub fn model() -> Model {
    let target = Target::new("example.chat-v1:0", "us-east-1");
    Model {
        base: Some("example.chat-v1:0".to_owned()),
        price: Some(Arc::new(price())),
        ..Model::new("fast", target)
    }
}

/// A model for embeddings at 1000 nano-dollars for a token.
pub fn embedder() -> Model {
    let target = Target::new("example.embed-v1:0", "us-east-1");
    let embed = EmbedFacts {
        family: EmbedFamily::CohereV4,
        dimensions: vec![1024],
        max_tokens: 8192,
    };
    let facts = Facts {
        modality: "embedding".to_owned(),
        embed: Some(embed),
        ..Facts::default()
    };
    let price = Price {
        output: PicoUsd(0),
        ..price()
    };
    Model {
        base: Some("example.embed-v1:0".to_owned()),
        facts: Arc::new(facts),
        price: Some(Arc::new(price)),
        ..Model::new("vectors", target)
    }
}

/// A chat with one question, of 40 bytes and at most 100 tokens of output: about 110 tokens.
pub fn chat(stream: bool) -> Chat {
    Chat {
        messages: vec![message(Role::User, vec![text("What is new?")])],
        stream,
        max_completion_tokens: Some(100),
        bytes: 40,
        ..Chat::default()
    }
}

/// One text of 40 bytes, which is about 10 tokens.
pub fn embed() -> Embed {
    Embed {
        inputs: vec![Input::Text("x".repeat(40))],
        ..Embed::default()
    }
}

pub fn message(role: Role, parts: Vec<Part>) -> Message {
    let origin = Origin {
        list: "messages",
        index: 0,
    };
    Message {
        role,
        name: None,
        parts,
        origin,
    }
}

pub fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

pub fn tool_use(id: &str) -> Part {
    Part::ToolUse(ToolUse {
        id: id.to_owned(),
        name: "look".to_owned(),
        input: ToolInput::Arguments("{}".to_owned()),
    })
}

/// A caller with a key and a team.
pub fn caller() -> Caller {
    Caller {
        key_id: "ci".to_owned(),
        team: Some(Arc::default()),
        ..Caller::default()
    }
}

/// A call before its plan.
pub fn unplanned<T: Operation>(caller: &Arc<Caller>, model: Model, body: T) -> Call<T, Unplanned> {
    Call {
        request_id: format!("req-{}", fastrand::u64(..)).into(),
        caller: caller.clone(),
        model: Arc::new(model),
        body: Arc::new(body),
        plan: Unplanned,
        end_user: String::new(),
        trace: Trace::default(),
    }
}

/// A call with its plan.
pub fn planned<T: Operation>(caller: &Arc<Caller>, model: Model, body: T) -> Call<T> {
    let call = unplanned(caller, model, body);
    let plan = call.body.plan(&call.model, &call.caller).unwrap();
    call.with_plan(plan)
}
