/** `anomaly_score(heat, pressure, vibration, speed)`: how much a reading looks like a fault, by the trained model. */

import { fn } from 'refold'
import { type Network, score } from './network.ts'

export const anomalyScore = fn('anomaly_score', {
  args: ['DOUBLE', 'DOUBLE', 'DOUBLE', 'DOUBLE'],
  returns: 'DOUBLE',
  artefacts: { model: '../model/anomaly.json' },
  call: (engine_heat, oil_pressure, vibration, speed, { model }) => {
    const anomaly = score(model as Network, { engine_heat, oil_pressure, vibration, speed })
    return Math.round(anomaly * 10_000) / 10_000
  },
})
