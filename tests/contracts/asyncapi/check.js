// Reads an AsyncAPI document with the official parser, and prints a summary and all diagnostics as JSON.
// Usage: NODE_PATH=.../node_modules node check.js FILE
const { readFileSync } = require("fs");
const { Parser } = require("@asyncapi/parser");

async function main() {
  const text = readFileSync(process.argv[2], "utf-8");
  const { document, diagnostics } = await new Parser().parse(text);
  const summary = document && {
    channels: document.channels().all().map((channel) => [channel.id(), channel.address()]),
    operations: document.operations().all().map((operation) => operation.id()),
    servers: document.servers().all().map((server) => server.id()),
    messages: document.messages().all().map((message) => message.id()),
  };
  process.stdout.write(JSON.stringify({ summary: summary || null, diagnostics }));
}

main();
