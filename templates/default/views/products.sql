-- What sells best.
SELECT product,
       count(*) AS orders,
       sum(quantity) AS sold,
       sum(quantity * price) AS revenue
FROM orders
GROUP BY product
ORDER BY revenue DESC, product
