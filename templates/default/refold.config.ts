import { check, decimal, project, stream, view } from 'refold'
import { z } from 'zod'

/** What happens: an order is an event. It is written once and never changed. */
export const orders = stream('orders', {
  schema: z.object({
    order_id: z.string(),
    customer: z.string(),
    product: z.string(),
    quantity: z.int32().min(1),
    price: decimal(10, 2),
    ordered_at: z.iso.datetime(),
  }),
  id: 'order_id', // an order that is sent twice counts once
  key: 'customer', // orders of one customer keep their order
  time: 'ordered_at',
})

/** What you want to know: a view is SQL over streams, kept up to date with every order. */
export const customers = view('customers', {
  sql: `
    SELECT customer,
           count(*) AS orders,
           count(DISTINCT product) AS products,
           sum(quantity * price) AS spent
    FROM orders
    GROUP BY customer
  `,
})

/** What must hold before a changed view is served: this SELECT over the new version gives no row. */
export const sold = check('all_sold_for_money', { sql: 'SELECT * FROM products WHERE revenue <= 0' })

// The other views stand in views/: products.sql and hourly.sql.
export default project({ streams: [orders], views: [customers], checks: [sold] })
