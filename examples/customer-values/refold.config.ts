/** What customers are worth: exact and rich up to the last batch, approximate and immediate after it. */

import { decimal, lambda, project, stream, view } from 'refold'
import { z } from 'zod'

export const orders = stream('orders', {
  schema: z.object({
    order_id: z.string(),
    customer_id: z.string(),
    amount: decimal(18, 2),
    ordered_at: z.iso.datetime(),
  }),
  id: 'order_id',
  key: 'customer_id',
  time: 'ordered_at',
})

export const shipments = stream('shipments', {
  schema: z.object({ order_id: z.string(), shipped_at: z.iso.datetime() }),
  id: 'order_id',
})

/** Its SQL stands in views/customer_values.batch.sql and views/customer_values.speed.sql. */
export const customerValues = view('customer_values', {
  key: ['customer_id'],
  merge: {
    orders: 'add',
    revenue: 'add',
    largest: 'max',
    last_order: 'max',
    p90: 'replace',
    longest_gap_days: 'max',
    days_to_ship: 'replace',
    country: 'replace',
    mean: { sql: 'CAST((batch.revenue + speed.revenue) / (batch.orders + speed.orders) AS DOUBLE)' },
  },
  approximate: ['p90', 'longest_gap_days', 'days_to_ship', 'country'],
  run: lambda({ every: '15m' }),
})

export default project({ streams: [orders, shipments], views: [customerValues] })
