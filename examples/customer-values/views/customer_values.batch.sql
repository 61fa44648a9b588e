WITH gaps AS (
  SELECT *, date_diff('day', lag(ordered_at) OVER by_time, ordered_at) AS gap
  FROM orders
  WINDOW by_time AS (PARTITION BY customer_id ORDER BY ordered_at, order_id)
)
SELECT
  g.customer_id,
  count(*) AS orders,
  sum(g.amount) AS revenue,
  max(g.amount) AS largest,
  max(g.ordered_at) AS last_order,
  quantile_cont(CAST(g.amount AS DOUBLE), 0.9) AS p90,
  max(g.gap) AS longest_gap_days,
  avg(date_diff('day', g.ordered_at, s.shipped_at)) AS days_to_ship,
  max(c.country) AS country,
  CAST(sum(g.amount) / count(*) AS DOUBLE) AS mean
FROM gaps AS g
LEFT JOIN shipments AS s USING (order_id)
LEFT JOIN 'ref/customers.csv' AS c ON c.customer_id = g.customer_id
GROUP BY g.customer_id
