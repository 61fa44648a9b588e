/**
 * Connected cars: every reading gets an anomaly score by a small trained model, live and over all of history. A new
 * model is a new version of the views that use it, and nothing else is.
 */

import { check, lambda, project, stream, view } from 'refold'
import { z } from 'zod'
import { anomalyScore } from './logic/anomaly-score.ts'

export const readings = stream('readings', {
  schema: z.object({
    reading_id: z.string(),
    car_id: z.string(),
    measured_at: z.iso.datetime(),
    engine_heat: z.number(),
    oil_pressure: z.number(),
    vibration: z.number(),
    speed: z.number(),
    fault: z.enum(['none', 'cooling', 'bearing']),
  }),
  id: 'reading_id',
  key: 'car_id',
  time: 'measured_at',
  partitions: 4,
})

const score = 'anomaly_score(engine_heat, oil_pressure, vibration, speed)'
const ALERT_ABOVE = 0.8

export default project({
  name: 'connected-cars',
  streams: [readings],
  functions: [anomalyScore],
  views: [
    view('alerts', {
      sql: `SELECT reading_id, car_id, measured_at, ${score} AS score FROM readings WHERE ${score} > ${ALERT_ABOVE}`,
    }),
    view('car_health', {
      sql: `
        SELECT car_id, count(*) AS readings, count_if(${score} > ${ALERT_ABOVE}) AS alerts, max(${score}) AS worst
        FROM readings GROUP BY car_id`,
      run: lambda({ every: '1h' }),
    }),
    // What the workshop found, against what the model said.
    view('model_quality', {
      sql: `
        SELECT fault, count(*) AS readings, count_if(${score} > ${ALERT_ABOVE}) AS alerts
        FROM readings GROUP BY fault`,
    }),
    view('cars_per_hour', {
      sql: `
        SELECT date_trunc('hour', measured_at) AS hour, count(*) AS readings, count(DISTINCT car_id) AS cars
        FROM readings GROUP BY hour`,
    }),
  ],
  checks: [
    check('every_alert_is_counted', {
      sql: `
        SELECT car_id, counted, listed
        FROM (SELECT car_id, alerts AS counted FROM car_health)
        LEFT JOIN (SELECT car_id, count(*) AS listed FROM alerts GROUP BY car_id) USING (car_id)
        WHERE counted <> coalesce(listed, 0)`,
    }),
    check('healthy_cars_are_left_alone', {
      sql: `SELECT * FROM model_quality WHERE fault = 'none' AND alerts > readings * 0.01`,
    }),
  ],
})
