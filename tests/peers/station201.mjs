// An OCPP 2.0.1 station.
import { story } from './session2.mjs';
import { tell } from './station.mjs';

tell(() => story({ protocols: ['ocpp2.0.1'] }, 'P201'));
