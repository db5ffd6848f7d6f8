//! Conversations that are condensed to one question before the search.

use super::*;

/// A conversation of three messages, asked of a Knowledge Base that has it condensed.
fn conversation(query: Option<&str>) -> Call<Chat> {
    let mut condensing = base("news");
    condensing.condense_with = Some(Arc::new(Model {
        name: "small".to_owned(),
        ..model()
    }));
    let mut call = asking(
        RetrievalRequest {
            query: query.map(str::to_owned),
            ..request(vec![condensing], OnError::Fail)
        },
        false,
    );
    Arc::make_mut(&mut call.body).messages = vec![
        message(Role::User, vec![text("Which plans are there?")]),
        message(Role::Assistant, vec![text("Two.")]),
        message(Role::User, vec![text("And the second one?")]),
    ];
    call
}

#[tokio::test]
async fn conversation_is_condensed_at_its_own_cost() {
    let condenser = Condenser {
        question: Some("What is the second plan?"),
        ..Condenser::default()
    };
    let (retrieve, library, condenser) = retrieve(Library::default(), condenser);
    let next = Next::new(whole(usage(1, 1)));
    let call = conversation(None);
    let (id, trace) = (call.request_id.clone(), call.trace.clone());
    send(&retrieve, &next, call).await.unwrap();
    assert_eq!(
        *library.queries.lock().unwrap(),
        ["What is the second plan?"]
    );
    let calls = condenser.calls.lock().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].model.name, "small");
    assert_eq!(calls[0].caller.key_id, "ci", "the caller pays for it");
    assert_eq!(*calls[0].request_id, *format!("{id}-condense"));
    let spend = trace.spending().total();
    assert_eq!(Some(spend.side_calls), usage(50, 10).cost);
}

#[tokio::test]
async fn last_message_is_the_query_if_the_conversation_cannot_be_condensed() {
    let (retrieve, library, _) = retrieve(Library::default(), Condenser::default());
    let next = Next::new(whole(usage(1, 1)));
    let served = send(&retrieve, &next, conversation(None)).await.unwrap();
    assert_eq!(*library.queries.lock().unwrap(), ["And the second one?"]);
    let warnings = served.trace.warnings().joined().unwrap();
    assert!(warnings.contains("could not be condensed (upstream_throttle)"));
    assert!(!served.trace.spending().total().unknown_side_calls);
}

#[tokio::test]
async fn query_of_the_client_is_used_as_it_is() {
    let (retrieve, library, condenser) = retrieve(Library::default(), Condenser::default());
    let next = Next::new(whole(usage(1, 1)));
    let call = conversation(Some("plans"));
    send(&retrieve, &next, call).await.unwrap();
    assert_eq!(*library.queries.lock().unwrap(), ["plans"]);
    assert!(condenser.calls.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn condensing_that_takes_too_long_is_given_up_at_an_unknown_cost() {
    let condenser = Condenser {
        is_silent: true,
        ..Condenser::default()
    };
    let (retrieve, library, _) = retrieve(Library::default(), condenser);
    let next = Next::new(whole(usage(1, 1)));
    let began = tokio::time::Instant::now();
    let served = send(&retrieve, &next, conversation(None)).await.unwrap();
    let timeout = base("news").timeout;
    assert!(began.elapsed() >= timeout && began.elapsed() < 2 * timeout);
    assert_eq!(*library.queries.lock().unwrap(), ["And the second one?"]);
    assert!(served.trace.spending().total().unknown_side_calls);
}
