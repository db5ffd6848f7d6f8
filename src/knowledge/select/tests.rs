use super::*;

fn passage(text: &str, score: Option<f64>) -> Passage {
    Passage {
        text: text.into(),
        score,
        ..Passage::default()
    }
}

fn request(chars: u32, tokens: Option<u32>) -> RetrievalRequest {
    RetrievalRequest {
        names: Default::default(),
        searches: Vec::new(),
        query: None,
        query_chars: 0,
        max_context_chars: chars,
        max_context_tokens: tokens,
        max_images: 1,
        include_sources: true,
        include_passages: false,
    }
}

fn texts(selected: &Selection) -> Vec<&str> {
    selected
        .passages
        .iter()
        .map(|passage| passage.text.as_str())
        .collect()
}

#[test]
fn the_best_are_taken_whole_until_the_context_is_full() {
    let warnings = Warnings::default();
    let passages = || {
        vec![
            passage("none", None),
            passage("low", Some(0.1)),
            passage("äöü", Some(0.9)),
            passage("mid", Some(0.5)),
        ]
    };
    assert_eq!(
        texts(&select(passages(), &request(100, None), 0, &warnings)),
        ["äöü", "mid", "low", "none"]
    );
    let selected = select(passages(), &request(8, None), 0, &warnings);
    assert_eq!(
        (texts(&selected), selected.context_chars),
        (vec!["äöü", "mid"], 6),
        "'low' would have to be cut"
    );
    assert_eq!(
        texts(&select(passages(), &request(100, Some(2)), 0, &warnings)),
        ["äöü"],
        "six bytes of eight"
    );
    assert!(
        warnings
            .joined()
            .unwrap()
            .contains("did not fit into the context: 2")
    );
    assert_eq!(
        texts(&select(passages(), &request(2, None), 0, &warnings)),
        ["äö"]
    );
    assert!(warnings.joined().unwrap().contains("was cut"));
}

#[test]
fn images_go_only_to_models_that_see_them() {
    let image = |text: &str| {
        Passage { image: Some("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==".into()), ..passage(text, None) }
    };
    let passages = || vec![image(""), image("a caption"), image("")];
    let warnings = Warnings::default();
    let blind = select(passages(), &request(100, None), 0, &warnings);
    assert_eq!(
        (texts(&blind), blind.passages[0].image.is_some()),
        (vec!["a caption"], false)
    );
    let seeing = select(passages(), &request(100, None), 1, &warnings);
    assert_eq!(
        seeing
            .passages
            .iter()
            .filter(|passage| passage.image.is_some())
            .count(),
        1,
        "as many as it may see"
    );
    assert!(
        warnings
            .joined()
            .unwrap()
            .contains("images among the passages")
    );
}
