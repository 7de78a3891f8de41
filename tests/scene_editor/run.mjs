// Reads a line of JSON, and writes the answer of a function as a line of JSON, until the input ends.

import { createInterface } from "node:readline";

export async function answer(work) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(work(JSON.parse(line)))}\n`);
  }
}
