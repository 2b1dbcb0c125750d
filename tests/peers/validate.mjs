// A second opinion on frames, by typed-ocpp. In: one {"version","frame","request"} per line on stdin; `request` is the CALL that a
// CALLRESULT answers. Out: one line {"checked": n, "bad": [{"line", "errors"}]}.
import { createInterface } from 'node:readline';
import { OCPP16, OCPP20, OCPP21 } from 'typed-ocpp';

const VALIDATORS = { 1.6: OCPP16, '2.0.1': OCPP20, 2.1: OCPP21 };

function errorsOf({ version, frame, request }) {
  const ocpp = VALIDATORS[version];
  if (!ocpp.validate(frame)) return ocpp.validate.errors;
  if (request && frame[0] === 3 && !ocpp.checkCallResult(frame, request)) return ocpp.checkCallResult.errors;
  return [];
}

let line = 0;
const bad = [];
for await (const text of createInterface({ input: process.stdin })) {
  if (!text.trim()) continue;
  const errors = errorsOf(JSON.parse(text));
  if (errors.length) bad.push({ line, errors, text });
  line += 1;
}
process.stdout.write(`${JSON.stringify({ checked: line, bad })}\n`);
