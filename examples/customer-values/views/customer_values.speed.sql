SELECT
  customer_id,
  count(*) AS orders,
  sum(amount) AS revenue,
  max(amount) AS largest,
  max(ordered_at) AS last_order,
  max(CAST(amount AS DOUBLE)) AS p90,
  CAST(NULL AS BIGINT) AS longest_gap_days,
  CAST(NULL AS DOUBLE) AS days_to_ship,
  CAST(NULL AS VARCHAR) AS country,
  CAST(sum(amount) / count(*) AS DOUBLE) AS mean
FROM orders
GROUP BY customer_id
