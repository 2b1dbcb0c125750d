// An OCPP 2.1 station. ocpp-rpc looks for schemas named urn:<Action>.req and .conf, as 2.0.1's are; its own 2.1 set is named
// urn:<Action>Request and Response, so it is passed as a validator under the names that are looked for.
import { createRequire } from 'node:module';
import { createValidator } from 'ocpp-rpc';
import { story } from './session2.mjs';
import { tell } from './station.mjs';

// Its enumerations say additionalProperties, which means nothing for a string and makes the validator complain at every start.
const plain = (_key, value) => {
  if (value?.type !== 'string') return value;
  const { additionalProperties, ...rest } = value;
  return rest;
};

const schemas = JSON.parse(JSON.stringify(createRequire(import.meta.url)('ocpp-rpc/lib/schemas/ocpp2_1.json')), plain).map((schema) => ({
  ...schema,
  $id: schema.$id.replace(/Request$/, '.req').replace(/Response$/, '.conf'),
}));

tell(() =>
  story({ protocols: ['ocpp2.1'], strictMode: ['ocpp2.1'], strictModeValidators: [createValidator('ocpp2.1', schemas)] }, 'P21'),
);
