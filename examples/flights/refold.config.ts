/**
 * Three million real US flights of 2001, from the npm package vega-datasets; `npm run demo` sends them here. One
 * stream and five views, which stand in `views/`. In the second act `route_delays` is changed, to what stands in `changes/`.
 */

import { check, project, stream } from 'refold'
import { z } from 'zod'

export const flights = stream('flights', {
  schema: z.object({
    flight: z.string(),
    departed_at: z.iso.datetime(),
    origin: z.string(),
    destination: z.string(),
    delay: z.int32(),
    distance: z.int32(),
  }),
  id: 'flight',
  key: 'origin',
  time: 'departed_at',
  partitions: 4,
  lateness: '6h',
  dedupe: { window: '24h', count: 4_000_000 },
})

export default project({
  name: 'flights',
  streams: [flights],
  checks: [
    // Must give no row: whoever multiplies a route's average by its flights wants to find the total.
    check('average_fits_total', {
      sql: `
        SELECT origin, destination, flights, delay_total, delay_average
        FROM route_delays
        WHERE delay_average IS NULL OR abs(delay_average * flights - delay_total) > 0.001`,
    }),
  ],
  // Small on purpose, so that the demo seals and compacts slices within a minute.
  seal: { bytes: '10MB', age: '5s' },
})
