//! Sizes of images, and the ratios of models that have no sizes.

/// The size of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// The ratios of Stability AI's models, with width and height. Source: Bedrock user guide, Stable Image Core, 2026-11.
pub const RATIOS: [(&str, u32, u32); 9] = [
    ("16:9", 16, 9),
    ("1:1", 1, 1),
    ("21:9", 21, 9),
    ("2:3", 2, 3),
    ("3:2", 3, 2),
    ("4:5", 4, 5),
    ("5:4", 5, 4),
    ("9:16", 9, 16),
    ("9:21", 9, 21),
];

impl Size {
    /// Parses `WIDTHxHEIGHT`. Returns `None` for any other text, and for a size of more than 9999 pixels.
    pub fn parse(text: &str) -> Option<Self> {
        let side = |text: &str| {
            let is_plain = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|side| is_plain && *side > 0)
        };
        let (width, height) = text.split_once('x')?;
        Some(Self {
            width: side(width)?,
            height: side(height)?,
        })
    }

    /// The nearest of [`RATIOS`].
    pub fn nearest_ratio(self) -> &'static str {
        let wanted = f64::from(self.width) / f64::from(self.height);
        let distance = |width: u32, height: u32| {
            let ratio = f64::from(width) / f64::from(height);
            (ratio / wanted).ln().abs()
        };
        let nearest = RATIOS
            .iter()
            .min_by(|(_, w, h), (_, v, g)| distance(*w, *h).total_cmp(&distance(*v, *g)));
        nearest.map_or("1:1", |(name, ..)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_nearest_ratio() {
        for (size, ratio) in [
            ("1024x1024", "1:1"),
            ("1536x1024", "3:2"),
            ("1024x1536", "2:3"),
            ("1792x1024", "16:9"),
            ("1024x1792", "9:16"),
            ("256x256", "1:1"),
            ("9999x1", "21:9"),
            ("1000x801", "5:4"),
        ] {
            assert_eq!(Size::parse(size).unwrap().nearest_ratio(), ratio, "{size}");
        }
        for wrong in [
            "",
            "auto",
            "1024",
            "0x5",
            "1024X1024",
            "-1x5",
            "+1x5",
            "10000x1",
            "1x1x1",
        ] {
            assert_eq!(Size::parse(wrong), None, "{wrong}");
        }
    }
}
