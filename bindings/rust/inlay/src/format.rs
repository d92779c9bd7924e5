use crate::native::{fill, params, to_string};
use crate::{Result, Runtime, Token, Tokenizer};

/// How a chat template turns messages into text: what the published templates of the family do, where they differ. A host
/// that knows better may change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFormat {
    /// "qwen3.5", "qwen3.6" or "tavern", as it was recognised.
    pub name: String,
    /// A missing enable_thinking means on.
    pub thinks_by_default: bool,
    /// A tool call's arguments are written as JSON (`true`), else as Python prints them (`True`).
    pub json_arguments: bool,
    /// preserve_thinking is known.
    pub may_keep_reasoning: bool,
    /// Reasoning of earlier turns stays unless preserve_thinking is false.
    pub keeps_reasoning: bool,
    /// A tool's answer may open a conversation.
    pub opens_first_tool: bool,
    /// `<|think_on|>` and `<|think_off|>` in the system message switch thinking and are taken out.
    pub think_marks: bool,
}

impl ChatFormat {
    pub(crate) fn plain(&self) -> inlay_sys::inlay_chat_format {
        // The name says where it came from; rendering does not ask for it.
        let mut given = params!(inlay_chat_format);
        given.thinks_by_default = self.thinks_by_default as u32;
        given.json_arguments = self.json_arguments as u32;
        given.may_keep_reasoning = self.may_keep_reasoning as u32;
        given.keeps_reasoning = self.keeps_reasoning as u32;
        given.opens_first_tool = self.opens_first_tool as u32;
        given.think_marks = self.think_marks as u32;
        given
    }
}

impl Runtime {
    /// Recognises a chat template (a model's is in its [`ModelInfo`](crate::ModelInfo)) by its content;
    /// [`Status::ChatTemplate`](crate::Status::ChatTemplate) for one that Inlay does not render.
    pub fn chat_format(&self, chat_template: &str) -> Result<ChatFormat> {
        let mut format = params!(inlay_chat_format);
        // SAFETY: the text has its length; the handle lives, here and below; the name lives as long as the library.
        unsafe {
            let (text, bytes) = (chat_template.as_ptr().cast(), chat_template.len());
            let runtime = self.shared.handle;
            self.shared.check(inlay_sys::inlay_chat_format_of(runtime, text, bytes, &mut format))?;
            Ok(ChatFormat {
                name: to_string(format.name),
                thinks_by_default: format.thinks_by_default != 0,
                json_arguments: format.json_arguments != 0,
                may_keep_reasoning: format.may_keep_reasoning != 0,
                keeps_reasoning: format.keeps_reasoning != 0,
                opens_first_tool: format.opens_first_tool != 0,
                think_marks: format.think_marks != 0,
            })
        }
    }

    /// Renders a chat, a JSON object with "messages" and perhaps "tools" and the template's own words, to the text that
    /// `chat_template` gives.
    pub fn render_chat(&self, chat_template: &str, json: &str) -> Result<String> {
        self.render_chat_as(&self.chat_format(chat_template)?, json)
    }

    /// The same to the text of a format.
    pub fn render_chat_as(&self, format: &ChatFormat, json: &str) -> Result<String> {
        let (runtime, format) = (&self.shared, format.plain());
        let rendered = fill(2 * json.len() + 4096, |place: *mut u8, room, count| {
            let (text, bytes) = (json.as_ptr().cast(), json.len());
            // SAFETY: the texts have their lengths.
            runtime.check(unsafe {
                let place = place.cast();
                inlay_sys::inlay_chat_render(runtime.handle, &format, text, bytes, place, room, count)
            })
        })?;
        Ok(String::from_utf8_lossy(&rendered).into_owned())
    }

    /// The same to tokens. Special tokens are those that the template itself writes: in what users, tools and models
    /// said, "<|im_end|>" stays text.
    pub fn render_chat_tokens(
        &self,
        tokenizer: &Tokenizer<'_>,
        format: &ChatFormat,
        json: &str,
    ) -> Result<Vec<Token>> {
        let (runtime, format, tokenizer) = (&self.shared, format.plain(), tokenizer.handle);
        fill(json.len() + 256, |place, room, count| {
            let (text, bytes) = (json.as_ptr().cast(), json.len());
            // SAFETY: the text and the place have their lengths; both handles live.
            runtime.check(unsafe {
                let (runtime, format) = (runtime.handle, &format);
                inlay_sys::inlay_chat_render_tokens(
                    runtime, tokenizer, format, text, bytes, place, room, count,
                )
            })
        })
    }
}
