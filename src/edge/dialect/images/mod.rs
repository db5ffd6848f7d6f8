//! `POST /v1/images/generations` and `POST /v1/images/edits`, <https://platform.openai.com/docs/api-reference/images>.

mod files;
mod parse;

use axum::http::header;

use super::{Dialect, Incoming, Media, Outgoing, ParsedRequest, ReplyContext, chat_completions};
use crate::{
    edge::{form, labels},
    error::Error,
    openai::image::{ImageList, ImageUsage, Images},
    operation::draw::{Draw, DrawReply},
};

/// The most bytes of a reply beside its images, roughly.
const OTHER_MEMBERS: usize = 2048;

/// The dialect of requests for images, in JSON.
pub struct ImageGenerations;

/// The dialect of requests to edit images, in a form with files.
pub struct ImageEdits;

impl Dialect for ImageGenerations {
    type Operation = Draw;
    type View = ();
    const ROUTE: &'static str = labels::IMAGE_GENERATIONS;
    const INPUT: &'static str = "prompt";

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let (draw, model) = parse::draw(request.body, request.warnings)?;
        if draw.prompt.is_empty() {
            let error = Error::invalid("prompt", "'prompt' is missing: it describes the image.");
            return Err(error.with_code("missing_required_parameter"));
        }
        Ok(parsed(draw, model))
    }

    fn reply(reply: DrawReply, (): (), cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        write(reply, cx)
    }
}

impl Dialect for ImageEdits {
    type Operation = Draw;
    type View = ();
    const ROUTE: &'static str = labels::IMAGE_EDITS;
    const INPUT: &'static str = "prompt";
    const MEDIA: Media = Media::Form;

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let content_type = request.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let parts = form::parts(content_type.unwrap_or_default(), request.body)?;
        let files::Form {
            members,
            images,
            mask,
        } = files::form(&parts)?;
        let (draw, model) = parse::draw(&members, request.warnings)?;
        let draw = Draw {
            is_edit: true,
            images,
            mask,
            ..draw
        };
        Ok(parsed(draw, model))
    }

    fn reply(reply: DrawReply, (): (), cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        write(reply, cx)
    }
}

fn parsed<D: Dialect<Operation = Draw, View = ()>>(draw: Draw, model: String) -> ParsedRequest<D> {
    ParsedRequest {
        end_user: draw.user.clone(),
        operation: draw,
        model,
        view: (),
    }
}

fn write(reply: DrawReply, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
    let DrawReply { images, usage } = reply;
    let bytes: usize = images.iter().map(|image| image.data.len()).sum();
    let list = ImageList {
        created: cx.created,
        output_format: images.first().map_or("png", |image| image.format),
        usage: ImageUsage {
            images: usage.output_images,
            cost: chat_completions::cost(&usage),
            ..ImageUsage::default()
        },
        data: Images::new(images.into_iter().map(|image| image.data).collect()),
    };
    let mut body = Vec::with_capacity(bytes + OTHER_MEMBERS);
    serde_json::to_writer(&mut body, &list).map_err(chat_completions::unwritable)?;
    Ok(Outgoing::Whole(body))
}
