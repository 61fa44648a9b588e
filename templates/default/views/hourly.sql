-- Orders and revenue by hour.
SELECT time_bucket(INTERVAL '1 hour', ordered_at) AS hour,
       count(*) AS orders,
       sum(quantity * price) AS revenue
FROM orders
GROUP BY hour
