use super::Part;
use crate::operation::guarded;

/// The most blocks of a request. Source: InvokeGuardrailChecks takes ten in a message.
const MAX_BLOCKS: usize = 10;

/// The most characters of a request: those of the longest part that a guardrail of the gateway evaluates.
const MAX_CHARS: usize = guarded::INPUT.max;

/// What one request evaluates: a part of one input, or all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The index of the input.
    pub input: usize,
    pub blocks: Vec<Block<'a>>,
}

/// A block of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    Text(&'a str),
    /// An image, as Base64.
    Image {
        format: &'a str,
        data: &'a str,
    },
}

/// Splits the inputs into requests. A long text is split where a sentence ends if possible, and each block repeats the
/// end of the one before, so that no phrase is cut. Blank texts need no request.
pub fn pieces(inputs: &[Vec<Part>]) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    for (input, parts) in inputs.iter().enumerate() {
        let new = || Piece {
            input,
            blocks: Vec::new(),
        };
        let (mut piece, mut chars) = (new(), 0);
        for block in parts.iter().flat_map(blocks) {
            let more = match block {
                Block::Text(text) => text.chars().count(),
                Block::Image { .. } => 0,
            };
            let is_full = piece.blocks.len() == MAX_BLOCKS || chars + more > MAX_CHARS;
            if is_full && !piece.blocks.is_empty() {
                all.push(std::mem::replace(&mut piece, new()));
                chars = 0;
            }
            chars += more;
            piece.blocks.push(block);
        }
        if !piece.blocks.is_empty() {
            all.push(piece);
        }
    }
    all
}

fn blocks(part: &Part) -> Vec<Block<'_>> {
    match part {
        Part::Image { format, data, .. } => vec![Block::Image { format, data }],
        Part::Text(text) if text.trim().is_empty() => Vec::new(),
        Part::Text(text) => {
            let mut blocks = Vec::new();
            let mut rest = text.as_str();
            while let Some(cut) = guarded::cut(rest, guarded::INPUT) {
                blocks.push(Block::Text(&rest[..cut.end]));
                rest = &rest[cut.tail..];
            }
            blocks.push(Block::Text(rest));
            blocks
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn long_text_is_split_without_losing_a_character() {
        let long = "A sentence of the text. ".repeat(3000);
        let inputs = [vec![text("one")], vec![text("  ")], vec![text(&long)]];
        let all = pieces(&inputs);
        assert_eq!(all[0].blocks, [Block::Text("one")]);
        assert!(all.len() > 4 && all[1..].iter().all(|piece| piece.input == 2));
        let Part::Text(whole) = &inputs[2][0] else {
            unreachable!()
        };
        let mut covered = 0;
        for piece in &all[1..] {
            let [Block::Text(block)] = piece.blocks[..] else {
                panic!("{piece:?}");
            };
            let start = block.as_ptr() as usize - whole.as_ptr() as usize;
            assert!(start <= covered && block.chars().count() <= MAX_CHARS);
            covered = start + block.len();
        }
        assert_eq!(covered, whole.len());
    }

    #[test]
    fn parts_of_an_input_share_a_request_up_to_ten_blocks() {
        let inputs = [vec![text("short"); 25]];
        let counts: Vec<usize> = pieces(&inputs)
            .iter()
            .map(|piece| piece.blocks.len())
            .collect();
        assert_eq!(counts, [10, 10, 5]);
    }
}
