"""What a record is: the types that the models, the tool and their files share. Imports nothing heavy."""
