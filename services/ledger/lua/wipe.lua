-- Forget what lies in a book that a rebuild holds; 0 if it is held by another.
-- KEYS: the tenant's mark, then what to forget. ARGV: the name of the rebuild.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if #KEYS > 1 then redis.call('DEL', unpack(KEYS, 2)) end
return 1
