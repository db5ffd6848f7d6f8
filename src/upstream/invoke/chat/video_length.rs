//! The length of a video, for models that bill it by the second and do not report it.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    bedrock::{
        content::{ContentBlock, MediaSource},
        request::ConverseRequest,
    },
    operation::chat::MAX_VIDEO_SECONDS,
};

/// The most boxes that are looked at. A file for streaming has thousands, but begins with its movie box.
const MAX_BOXES: usize = 64;

/// Returns the length of all videos in a request, in seconds. A video counts as the longest that is accepted if its length
/// is unknown: in S3, and in files other than MP4 and QuickTime.
pub fn of(request: &ConverseRequest<'_>) -> u64 {
    let blocks = request.messages.iter().flat_map(|turn| &turn.content);
    let lengths = blocks.filter_map(|block| match block {
        ContentBlock::Video(video) => Some(match &video.source {
            MediaSource::Bytes(data) => of_file(Some(data)),
            MediaSource::S3Location(_) => of_file(None),
        }),
        _ => None,
    });
    lengths.sum()
}

/// Returns the length of a video whose file is `data` in Base64, in seconds. A video elsewhere counts as the longest.
pub fn of_file(data: Option<&str>) -> u64 {
    let seconds = data.and_then(|data| File(data).seconds());
    let seconds = seconds.filter(|seconds| *seconds > 0);
    seconds.map_or(MAX_VIDEO_SECONDS, |known| known.min(MAX_VIDEO_SECONDS))
}

/// The Base64 of a file, of which only the parts are decoded that are read.
struct File<'a>(&'a str);

/// The content of a box: its first byte, and the byte after its last.
struct Range {
    start: u64,
    end: u64,
}

impl File<'_> {
    /// The duration in the movie header, in seconds, rounded up.
    fn seconds(&self) -> Option<u64> {
        let all = Range {
            start: 0,
            end: self.0.len() as u64 / 4 * 3,
        };
        let movie = self.find(b"moov", all)?;
        let header = self.find(b"mvhd", movie)?.start;
        let version = self.read::<1>(header)?;
        let (scale, duration) = match version {
            [0] => (
                u32::from_be_bytes(self.read(header + 12)?),
                u64::from(u32::from_be_bytes(self.read(header + 16)?)),
            ),
            _ => (
                u32::from_be_bytes(self.read(header + 20)?),
                u64::from_be_bytes(self.read(header + 24)?),
            ),
        };
        (scale > 0).then(|| duration.div_ceil(u64::from(scale)))
    }

    /// Returns the content of the first box with this name.
    fn find(&self, name: &[u8; 4], within: Range) -> Option<Range> {
        let mut at = within.start;
        for _ in 0..MAX_BOXES {
            let size = u32::from_be_bytes(self.read(at)?);
            let kind: [u8; 4] = self.read(at + 4)?;
            let (head, size) = match size {
                0 => (8, within.end.checked_sub(at)?),
                1 => (16, u64::from_be_bytes(self.read(at + 8)?)),
                size => (8, u64::from(size)),
            };
            let end = at.checked_add(size.max(head))?;
            if kind == *name {
                return Some(Range {
                    start: at + head,
                    end,
                });
            }
            at = end;
            if at >= within.end {
                return None;
            }
        }
        None
    }

    fn read<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        let end = at.checked_add(N)?.div_ceil(3).checked_mul(4)?;
        let text = self.0.get(at / 3 * 4..end)?;
        let bytes = STANDARD.decode(text).ok()?;
        bytes.get(at % 3..at % 3 + N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes(), name.as_slice(), content].concat()
    }

    fn header(version: u8, scale: u32, duration: u32) -> Vec<u8> {
        let long = version == 1;
        let times = vec![0; if long { 16 } else { 8 }];
        let high = if long { vec![0; 4] } else { Vec::new() };
        [
            &[version, 0, 0, 0],
            times.as_slice(),
            &scale.to_be_bytes(),
            &high,
            &duration.to_be_bytes(),
            &[0; 80],
        ]
        .concat()
    }

    fn seconds(file: &[u8]) -> Option<u64> {
        File(&STANDARD.encode(file)).seconds()
    }

    #[test]
    fn length_is_that_of_the_movie_header() {
        for (version, media) in [(0, 0), (1, 1), (0, 2), (1, 3)] {
            let movie = block(b"moov", &block(b"mvhd", &header(version, 1000, 12_001)));
            let (kind, data) = (block(b"ftyp", b"isom"), block(b"mdat", &vec![7; media]));
            let file = [kind.as_slice(), &data, &movie].concat();
            assert_eq!(seconds(&file), Some(13));
            let file = [kind, movie, data].concat();
            assert_eq!(seconds(&file), Some(13));
        }
    }

    #[test]
    fn broken_files_have_no_length() {
        let movie = block(b"moov", &block(b"mvhd", &header(0, 0, 5)));
        assert_eq!(seconds(&movie), None);
        assert_eq!(seconds(&movie[..30]), None);
        assert_eq!(seconds(&block(b"moov", &block(b"trak", b"x"))), None);
        assert_eq!(seconds(b"not a video at all"), None);
        assert_eq!(seconds(&[0, 0, 0, 1, b'm', b'o', b'o', b'v']), None);
        assert_eq!(seconds(&[]), None);
    }
}
