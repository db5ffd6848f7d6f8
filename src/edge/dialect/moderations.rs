//! `POST /v1/moderations`, <https://platform.openai.com/docs/api-reference/moderations>.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext, chat_completions};
use crate::{
    edge::{body, labels},
    error::Error,
    openai::moderation::{
        ByCategory, CATEGORIES, Moderation, ModerationInput, ModerationItem, ModerationPart,
        ModerationRequest, ModerationResult, ModerationUsage,
    },
    operation::{
        Reply as _,
        moderate::{Category, MODEL, Moderate, ModerationReply, Part, Verdict},
    },
};

/// The dialect of OpenAI's moderations API.
pub struct Moderations;

/// The parts of the request that the reply depends on.
pub struct View {
    model: String,
    /// Whether each input has texts and images.
    kinds: Vec<Vec<&'static str>>,
}

impl Dialect for Moderations {
    type Operation = Moderate;
    type View = View;
    const ROUTE: &'static str = labels::MODERATIONS;
    const INPUT: &'static str = "input";

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let parsed: ModerationRequest = body::parse(request.body, request.warnings)?;
        let inputs = inputs(parsed.input)?;
        let model = parsed.model.unwrap_or_else(|| MODEL.to_owned());
        let view = View {
            model: model.clone(),
            kinds: inputs.iter().map(|parts| kinds(parts)).collect(),
        };
        Ok(ParsedRequest {
            operation: Moderate {
                inputs,
                max_cost: body::max_cost(parsed.max_cost_usd.as_deref())?,
            },
            model,
            end_user: parsed.user,
            view,
        })
    }

    fn reply(reply: ModerationReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let results = reply.verdicts.iter().zip(&view.kinds);
        let body = Moderation {
            id: format!("modr-{}", cx.id),
            model: &view.model,
            results: results
                .map(|(verdict, kinds)| result(verdict, kinds))
                .collect(),
            usage: ModerationUsage {
                cost: reply.usage().as_ref().and_then(chat_completions::cost),
            },
        };
        serde_json::to_vec(&body)
            .map(Outgoing::Whole)
            .map_err(chat_completions::unwritable)
    }
}

fn kinds(parts: &[Part]) -> Vec<&'static str> {
    let has = |is: fn(&Part) -> bool| parts.iter().any(is);
    let text = has(|part| matches!(part, Part::Text(_))).then_some("text");
    let image = has(|part| matches!(part, Part::Image { .. })).then_some("image");
    text.into_iter().chain(image).collect()
}

fn result(verdict: &Verdict, kinds: &[&'static str]) -> ModerationResult {
    // Bedrock has no filter for the other categories.
    let evaluated =
        CATEGORIES.map(|name| Category::ALL.into_iter().find(|one| one.as_str() == name));
    let scores = evaluated.map(|one| one.map_or(0.0, |one| verdict.scores[one as usize]));
    let found = evaluated.map(|one| one.is_some_and(|one| verdict.found[one as usize]));
    ModerationResult {
        flagged: verdict.is_flagged,
        categories: ByCategory(found),
        category_scores: ByCategory(scores),
        category_applied_input_types: ByCategory(
            evaluated.map(|one| one.map_or_else(Vec::new, |_| kinds.to_vec())),
        ),
    }
}

/// Returns the inputs. Each text of a list is an input of its own, and the parts of a list are one input together.
fn inputs(input: ModerationInput) -> Result<Vec<Vec<Part>>, Error> {
    let items = match input {
        ModerationInput::Text(text) => return Ok(vec![vec![Part::Text(text)]]),
        ModerationInput::List(items) => items,
    };
    if items.is_empty() {
        let text = "'input' must have at least one input.";
        return Err(Error::invalid("input", text));
    }
    let (mut texts, mut parts) = (Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            ModerationItem::Text(text) => texts.push(vec![Part::Text(text)]),
            ModerationItem::Part(item) => parts.push(part(item, index)?),
        }
    }
    match (texts.is_empty(), parts.is_empty()) {
        (false, true) => Ok(texts),
        (true, _) => Ok(vec![parts]),
        (false, false) => {
            let text = "'input' must be a list of strings or a list of content parts, not both.";
            Err(Error::invalid("input", text))
        }
    }
}

fn part(part: ModerationPart, index: usize) -> Result<Part, Error> {
    let at = format!("input[{index}]");
    match (part.kind.as_str(), part.text, part.image_url) {
        ("text", Some(text), _) => Ok(Part::Text(text)),
        ("image_url", _, Some(image)) => image_part(&image.url, format!("{at}.image_url.url")),
        _ => {
            let text = "A part must have the type 'text' and a member 'text', or the type 'image_url' and a member 'image_url'.";
            Err(Error::invalid(at, text))
        }
    }
}

fn image_part(url: &str, at: String) -> Result<Part, Error> {
    let image = url.strip_prefix("data:image/");
    let (format, data) = image
        .and_then(|image| image.split_once(";base64,"))
        .unwrap_or_default();
    let Some(format) = ["png", "jpeg"].into_iter().find(|known| *known == format) else {
        let text = "An image must be a data URL of PNG or JPEG in Base64.";
        return Err(Error::invalid(at, text).with_code("unsupported_content"));
    };
    if data.is_empty() || STANDARD.decode(data).is_err() {
        let text = "The image data is not valid Base64.";
        return Err(Error::invalid(at, text).with_code("invalid_base64"));
    }
    Ok(Part::Image {
        format,
        data: data.to_owned(),
        at,
    })
}
