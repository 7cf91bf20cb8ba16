// Colours for Rhai in JupyterLab 4: a federated extension, written by hand.
//
// JupyterLab loads this file as it is and asks the container at its end for "./extension". Everything
// else comes from JupyterLab's own share scope, so nothing is bundled and nothing has to be built.
// Source of the protocol: "Module Federation" of webpack, `init(scope)` and `get(module)`.
(() => {
  "use strict";

  const KEYWORDS = new Set(
    ("let const if else switch while loop do until for in break continue return throw try catch " +
      "fn private import export as this global").split(" ")
  );
  const BOOLEANS = new Set(["true", "false"]);
  const NUMBER =
    /^(?:0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\d[\d_]*(?:\.(?!\.)(?![A-Za-z_])[\d_]*)?(?:[eE][+-]?\d+)?)/;

  // A state is a stack of what is open: code with the depth of its braces, a text, a remark.
  const top = state => state.open[state.open.length - 1];

  function inText(stream, state) {
    const { quote, hashes } = top(state);
    while (!stream.eol()) {
      if (quote === "`" && stream.match("${")) {
        state.open.push({ kind: "code", depth: 0 });
        return "string.special";
      }
      if (hashes) {
        if (stream.match('"' + "#".repeat(hashes))) {
          state.open.pop();
          return "string";
        }
        stream.next();
        continue;
      }
      const c = stream.next();
      if (c === "\\" && quote !== "`") {
        // A backslash at the end of a line joins the next one.
        stream.next();
      } else if (c === quote) {
        state.open.pop();
        return "string";
      }
      if (quote === "`" && stream.peek() === "$" && stream.match("${", false)) return "string";
    }
    return "string";
  }

  function inRemark(stream, state) {
    while (!stream.eol()) {
      if (stream.match("/*")) {
        top(state).depth += 1;
      } else if (stream.match("*/")) {
        top(state).depth -= 1;
        if (top(state).depth === 0) {
          state.open.pop();
          break;
        }
      } else {
        stream.next();
      }
    }
    return "comment";
  }

  function inCode(stream, state) {
    if (stream.sol() && stream.match(/^\s*%%?[A-Za-z].*/)) return "meta";
    if (stream.eatSpace()) return null;
    if (stream.match("//")) {
      stream.skipToEnd();
      return "comment";
    }
    if (stream.match("/*")) {
      state.open.push({ kind: "remark", depth: 1 });
      return inRemark(stream, state);
    }
    const raw = stream.match(/^(#+)"/);
    if (raw) {
      state.open.push({ kind: "text", quote: '"', hashes: raw[1].length });
      return inText(stream, state);
    }
    if (stream.match(/^'(?:\\.[^']*|[^'\\])'/)) return "string";
    if (stream.match(NUMBER)) return "number";
    const c = stream.next();
    if (c === '"' || c === "`") {
      state.open.push({ kind: "text", quote: c, hashes: 0 });
      return inText(stream, state);
    }
    if (c === "{") top(state).depth += 1;
    if (c === "}") {
      if (top(state).depth === 0 && state.open.length > 1) {
        state.open.pop();
        return "string.special";
      }
      top(state).depth = Math.max(0, top(state).depth - 1);
    }
    if (/[{}()[\]]/.test(c)) return "bracket";
    if (/[A-Za-z_]/.test(c)) {
      const start = stream.start;
      stream.eatWhile(/\w/);
      const word = stream.current();
      const member = /\.\s*$/.test(stream.string.slice(0, start)) && !/\.\.\s*$/.test(stream.string.slice(0, start));
      if (!member && KEYWORDS.has(word)) return "keyword";
      if (!member && BOOLEANS.has(word)) return "bool";
      if (/^(?:const|let)\s*$/.test(stream.string.slice(0, start).trimStart())) return "variableName.definition";
      if (stream.match(/^\s*!?\(/, false)) return member ? "propertyName.function" : "variableName.function";
      if (member || stream.match(/^\s*:(?!:)/, false)) return "propertyName";
      return "variableName";
    }
    if (/[;,.:]/.test(c)) return "punctuation";
    if (c === "#") return "punctuation";
    stream.eatWhile(/[-+*/%=!<>&|^?]/);
    return "operator";
  }

  const rhai = {
    name: "rhai",
    startState: () => ({ open: [{ kind: "code", depth: 0 }] }),
    copyState: state => ({ open: state.open.map(one => ({ ...one })) }),
    token(stream, state) {
      const { kind } = top(state);
      return kind === "text" ? inText(stream, state) : kind === "remark" ? inRemark(stream, state) : inCode(stream, state);
    },
    blankLine() {},
    indent(state, after, context) {
      const one = top(state);
      if (one.kind !== "code") return null;
      const depth = state.open.reduce((sum, part) => sum + (part.kind === "code" ? part.depth : 0), 0);
      return (depth - (/^\s*\}/.test(after) ? 1 : 0)) * context.unit;
    },
    languageData: {
      commentTokens: { line: "//", block: { open: "/*", close: "*/" } },
      closeBrackets: { brackets: ["(", "[", "{", '"', "`"] },
      indentOnInput: /^\s*\}$/
    }
  };

  let shared = {};

  // A package of JupyterLab, in whichever version it has.
  async function fromLab(name) {
    const versions = Object.values(shared[name] ?? {});
    if (versions.length === 0) throw new Error(`this JupyterLab shares no ${name}`);
    return (await versions[versions.length - 1].get())();
  }

  async function extension() {
    const { IEditorLanguageRegistry } = await fromLab("@jupyterlab/codemirror");
    const plugin = {
      id: "woolshed-rhai:mode",
      description: "Colours for Rhai.",
      autoStart: true,
      requires: [IEditorLanguageRegistry],
      activate: (_app, languages) => {
        languages.addLanguage({
          name: "rhai",
          displayName: "Rhai",
          mime: "text/x-rhai",
          extensions: ["rhai"],
          load: async () => {
            const { LanguageSupport, StreamLanguage } = await fromLab("@codemirror/language");
            return new LanguageSupport(StreamLanguage.define(rhai));
          }
        });
      }
    };
    return { __esModule: true, default: plugin };
  }

  const container = {
    init: scope => {
      shared = scope;
    },
    get: async name => {
      if (name !== "./extension") throw new Error(`there is no ${name} in woolshed-rhai`);
      const found = await extension();
      return () => found;
    }
  };
  globalThis._JUPYTERLAB = globalThis._JUPYTERLAB ?? {};
  globalThis._JUPYTERLAB["woolshed-rhai"] = container;
})();
