-- Few documents have parts, and the others are to cost nothing: they go when a document that has some gets another text.

CREATE TRIGGER memorizz_replaced AFTER UPDATE ON {table} FOR EACH ROW
    WHEN (OLD.pieces IS NOT NULL AND OLD.pieces IS DISTINCT FROM NEW.pieces) EXECUTE FUNCTION {forget_pieces}();
CREATE TRIGGER memorizz_deleted AFTER DELETE ON {table} FOR EACH ROW
    WHEN (OLD.pieces IS NOT NULL) EXECUTE FUNCTION {forget_pieces}();
