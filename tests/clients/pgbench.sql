\set id random(1, 8)
SELECT id, name, price FROM public.products WHERE id = :id;
