//! Long sessions: every turn is repeated in every later request, and the model refuses one that was changed.

use serde_json::{Value, json};

use super::{
    dialects::{Dialect, MESSAGES, RESPONSES},
    last_messages, replica,
    turns::{Cuts, Part, Turn, signature},
};

const TURNS: usize = 100;

/// Plays a session in which the model thinks and calls a tool in each turn. The requests alternate between two replicas.
async fn session(dialect: Dialect) {
    let replicas = [replica().await, replica().await];
    let mut history = Vec::new();
    let mut sent_before: Vec<Value> = Vec::new();
    for nth in 0..TURNS {
        let gateway = &replicas[nth % 2];
        let turn = Turn(vec![
            Part::Thinking(format!("thought {nth}")),
            Part::Text(format!("Looking at {nth}.")),
            Part::Call(json!({"at": nth})),
        ]);
        gateway.simulator.script(turn.streamed(&Cuts::of(7)));
        let reply = dialect.ask(gateway, &history, true).await;
        let blocks = (dialect.streamed)(&reply);
        history.extend((dialect.next)(&renamed(blocks, nth), &turn));
        if let Some(answers) = history.last_mut() {
            *answers = renamed(vec![answers.clone()], nth).remove(0);
        }
        let sent = last_messages(gateway);
        assert_eq!(sent.len(), 2 * nth + 1);
        assert_eq!(
            sent[..sent_before.len()],
            sent_before,
            "turn {nth}: what was sent before is sent again, to the byte"
        );
        sent_before = sent;
    }
    let turns: Vec<&Value> = sent_before.iter().skip(1).step_by(2).collect();
    assert_eq!(turns.len(), TURNS - 1);
    for (nth, turn) in turns.iter().enumerate() {
        let thought = format!("thought {nth}");
        let signed = json!({"text": thought, "signature": signature(&thought)});
        assert_eq!(
            turn["content"][0]["reasoningContent"]["reasoningText"],
            signed
        );
        assert_eq!(turn["content"][2]["toolUse"]["input"]["at"], nth);
    }
}

/// Gives the call of a turn an id of its own in the session. The script has the same id in each turn.
fn renamed(values: Vec<Value>, nth: usize) -> Vec<Value> {
    let values = values.into_iter().map(|value| {
        let text = value
            .to_string()
            .replace("\"tooluse_2\"", &format!("\"call_{nth}\""));
        serde_json::from_str(&text).unwrap()
    });
    values.collect()
}

#[tokio::test]
async fn a_hundred_turns_of_responses_keep_their_order_and_their_signatures() {
    session(RESPONSES).await;
}

#[tokio::test]
async fn a_hundred_turns_of_messages_keep_their_order_and_their_signatures() {
    session(MESSAGES).await;
}
